"""`--transfer-syntax`: one by name or UID."""

from collections.abc import Callable
from typing import Any

import click


class _TransferSyntax(click.ParamType[str]):
    name = "NAME|UID"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from pacsnode.dicom.syntax_names import transfer_syntax

        try:
            return transfer_syntax(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def transfer_syntax_option(words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option, which is None where it is not given."""
    return click.option(
        "--transfer-syntax", type=_TransferSyntax(), default=None, metavar="NAME|UID", help=words
    )
