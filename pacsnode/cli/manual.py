"""`pacsnode manual` and `pacsnode completion`."""

from importlib import resources

import click
from click.shell_completion import get_completion_class

from pacsnode.cli.output import Output
from pacsnode.cli.program import json_option


def topics() -> dict[str, str]:
    """Return the topics of the manual and what each is about."""
    folder = resources.files("pacsnode") / "manual"
    pages = sorted(
        (page for page in folder.iterdir() if page.name.endswith(".md")), key=lambda page: page.name
    )
    return {
        page.name.removesuffix(".md"): page.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        for page in pages
    }


@click.command()
@click.argument("topic", required=False)
@json_option
def manual(*, output: Output, topic: str | None) -> None:
    """Read the manual; without a TOPIC, list what there is."""
    known = topics()
    if topic is None:
        for name, title in known.items():
            output.item("topic", {"topic": name, "title": title}, f"{name:<15} {title}")
        output.result({"topics": len(known)}, "\nread one with: pacsnode manual TOPIC")
        return
    if topic not in known:
        raise click.UsageError(f"no topic {topic!r}: there are {', '.join(known)}")
    text = (resources.files("pacsnode") / "manual" / f"{topic}.md").read_text(encoding="utf-8")
    if output.as_json:
        output.result({"topic": topic, "text": text}, None)
    else:
        click.echo_via_pager(text)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
@json_option
@click.pass_context
def completion(ctx: click.Context, *, output: Output, shell: str) -> None:
    """Print the completion script for a shell, as in: eval "$(pacsnode completion bash)"."""
    completer = get_completion_class(shell)
    assert completer is not None
    script = completer(ctx.find_root().command, {}, "pacsnode", "_PACSNODE_COMPLETE").source()
    output.result({"shell": shell, "script": script}, script)
