"""`pacsnode serve`."""

from typing import TYPE_CHECKING

import click

from pacsnode.cli.output import Output
from pacsnode.cli.program import Program, data_dir_option, json_option, pass_program

if TYPE_CHECKING:
    from pacsnode.config import Config
    from pacsnode.processes.serve import Listening


@click.command()
@data_dir_option
@click.option("--ae-title", metavar="AET", help="AE title of the node.")
@click.option("--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 is every interface.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="TCP port; 0 takes a free one.")
@click.option(
    "--storage", metavar="URL", help="Where images are kept: file:///folder, gs://bucket/prefix or memory:."
)
@click.option("--take-over", is_flag=True, help="Take the bucket from a node that is gone for good.")
@click.option("--allow-all", is_flag=True, help="Let AE titles that are no peers do everything.")
@json_option
@pass_program
def serve(
    program: Program,
    *,
    output: Output,
    data_dir: str | None,
    ae_title: str | None,
    host: str | None,
    port: int | None,
    storage: str | None,
    take_over: bool,
    allow_all: bool,
) -> None:
    """Receive, keep, find and give back images until it is stopped.

    Works without a configuration file: options win over the environment, the environment over the file.
    Stops on SIGTERM and Ctrl-C, after the operations that are under way. SIGHUP reads the configuration again.
    """
    options = {
        "node__data_dir": data_dir,
        "dicom__ae_title": ae_title,
        "dicom__host": host,
        "dicom__port": port,
        "storage__url": storage,
        "access__unknown_peers": "all" if allow_all else None,
    }
    from pacsnode.config import check_files

    loaded = program.loaded(**options)
    check_files(loaded)
    config = loaded.config
    if take_over and config.storage.bucket is None:
        raise click.UsageError(f"--take-over is for a bucket; storage.url is {config.storage.url}")

    def read() -> "Config":
        """Read the file again that was read first, and set the same options."""
        again = Program(loaded.file or program.config_file).loaded(**options)
        check_files(again)
        log_as_configured(again.config)
        return again.config

    def ready(at: "Listening") -> None:
        output.item(
            "listening",
            {
                "ae_title": config.dicom.ae_title,
                "host": at.host,
                "port": at.port,
                "data_dir": str(config.node.data_dir),
                "configuration": str(loaded.file) if loaded.file else None,
            },
            f"{config.dicom.ae_title} listens on {shown(at.host, at.port)}, "
            f"data in {config.node.data_dir}, configuration {loaded.file or 'built in'}",
        )

    from pacsnode.accepting import shown
    from pacsnode.processes.logs import configure
    from pacsnode.processes.serve import serve as serve_until_stopped

    def log_as_configured(now: "Config") -> None:
        logs = now.logging
        configure(
            now.node.name, logs.level.value, logs.format.value, "supervisor", patient_data=logs.patient_data
        )

    log_as_configured(config)
    serve_until_stopped(config, read=read, ready=ready, take_over=take_over)
    output.result({"stopped": True}, "stopped")
