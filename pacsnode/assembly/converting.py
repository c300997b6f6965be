"""The programs that convert instances, by a configuration."""

from pathlib import Path

from pacsnode.archive.transcoders import TranscoderLimits, Transcoders
from pacsnode.config import Config


def of_a_worker(config: Config) -> Transcoders:
    """Return those of one worker; none is started yet."""
    return Transcoders(
        _limits(config, shared_by=config.dicom.workers),
        folder=config.node.data_dir / "transcode",
        min_free_bytes=config.spool.min_free,
    )


def of_a_command(config: Config, folder: Path) -> Transcoders:
    """Return those of a command, which is no node and has a folder for what it converts."""
    return Transcoders(_limits(config, shared_by=1), folder=folder)


def _limits(config: Config, *, shared_by: int) -> TranscoderLimits:
    transcode = config.transcode
    return TranscoderLimits(
        processes=max(1, transcode.processes // shared_by),
        memory_bytes=transcode.max_memory,
        seconds=transcode.timeout,
    )
