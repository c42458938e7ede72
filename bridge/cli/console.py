"""How commands print: tables and text on stdout, remarks on stderr, colour only where a person looks."""

import math
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH_WITHOUT_TERMINAL = 160


class FiniteRange(click.FloatRange):
    """A number between two bounds; NaN, which compares with nothing, is none."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            BadParameter: it is none, or out of range.
        """
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def form_options(markdown_help: str) -> Callable[[Callable[[str], None]], Callable[..., None]]:
    """Options --json and --format of a command that gets ``form``: table, json or markdown."""

    def decorate(command: Callable[[str], None]) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
        @click.option(
            "--format",
            "form",
            type=click.Choice(["table", "json", "markdown"]),
            default="table",
            show_default=True,
            help=markdown_help,
        )
        @wraps(command)
        def with_form(as_json: bool, form: str) -> None:
            command("json" if as_json else form)

        return with_form

    return decorate


def console() -> "Console":
    """A console on stdout; into a pipe or file it writes wide, plain lines."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)


def table(*columns: str, title: str | None = None) -> "Table":
    """An empty table in the house style."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def say(text: str, *, colour: str | None = None, bold: bool = False) -> None:
    """A remark for the person at the terminal, on stderr."""
    click.secho(text, err=True, fg=colour, bold=bold, color=False if os.environ.get("NO_COLOR") else None)
