"""How commands print: tables and text on stdout, remarks on stderr, colour only where a person looks."""

import json
import math
import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 160
Level = Literal["ok", "warning", "fault"]
_MARKS = {"fault": ("✗", "red"), "warning": ("!", "yellow"), "ok": ("✓", "green")}
_UNSAFE = re.compile(r"[^\n -~]")
"""In JSON, these stand nowhere but in strings."""


class FiniteRange(click.FloatRange):
    """A number between two bounds; NaN, which compares with nothing, is none."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            BadParameter: it is invalid, or out of range.
        """
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")


def form_options(markdown_help: str) -> Callable[[Callable[[str], None]], Callable[..., None]]:
    """Options --json and --format of a command that gets ``form``: table, json or markdown."""

    def decorate(command: Callable[[str], None]) -> Callable[..., None]:
        """The command with both options, of which it gets one value."""

        @json_option
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
            """Run the command; ``--json`` is short for ``--format json`` and wins."""
            command("json" if as_json else form)

        return with_form

    return decorate


def console() -> "Console":
    """A console on stdout; into a pipe or file it writes wide, plain lines.

    It takes no text for markup: names, errors and events come from elsewhere, and ``[/x]`` in one would end the
    command. What is to have a style is made by ``styled``.
    """
    from rich.console import Console

    class PlainConsole(Console):
        """Leaves a reader that has gone to ``main``, which ends the command quietly; rich would exit by itself."""

        def on_broken_pipe(self) -> None:
            """Raise on the BrokenPipeError that is being handled."""
            raise

    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return PlainConsole(highlight=False, markup=False, emoji=False, width=width)


def styled(template: str, *values: object) -> "Text":
    """Text with rich's markup in the template, and values in its ``{}`` that are shown as they are."""
    from rich.markup import escape
    from rich.text import Text

    return Text.from_markup(template.format(*(escape(printable(str(value))) for value in values)), emoji=False)


def printable(text: str) -> str:
    """Text without control characters that could steer the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def plain(value: object) -> str:
    """A foreign text for a terminal, on one line and without control characters; of anything else its JSON."""
    return value if isinstance(value, str) and value.isprintable() else escaped(json.dumps(value))


def print_json(value: object, *, indent: int | None = 2) -> None:
    """A value for programs; the only way in which commands print one. Without an indent it is one line."""
    click.echo(escaped(json.dumps(msgspec.to_builtins(value), indent=indent)))


def marked(level: Level, text: str, *, err: bool = False) -> None:
    """A line behind the mark of its level."""
    mark, colour = _MARKS[level]
    click.echo(f"{click.style(mark, fg=colour, bold=True)} {text}", err=err)


def escaped(text: str) -> str:
    r"""JSON in ASCII, DEL escaped as well: the same values, and nothing that a terminal obeys."""
    return _UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1] if found[0] != "\x7f" else r"\u007f", text)


def table(*columns: str, title: str | None = None) -> "Table":
    """An empty table in our style; its cells are texts from anywhere, shown as they are, or ``styled``."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    class PlainTable(Table):
        """Takes a plain text in a cell for what it is: no markup, nothing that steers the terminal."""

        def add_row(self, *cells: Any, **options: Any) -> None:
            """As rich's, with cells that are texts made printable."""
            super().add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in cells), **options)

    made = PlainTable(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def say(text: str, *, colour: str | None = None, bold: bool = False) -> None:
    """A remark for the person at the terminal, on stderr."""
    click.secho(text, err=True, fg=colour, bold=bold, color=False if os.environ.get("NO_COLOR") else None)
