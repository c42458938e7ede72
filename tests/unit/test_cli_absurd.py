"""Absurd values for every number, time and cursor of every command: one sentence and exit code 2, before any work."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from bridge.cli.app import cli
from bridge.model.errors import SettingsError
from bridge.operations.selection import LAST_MS, parse_time
from tests.support.absurd import ABSURD, CURSORS, NUMBERS, TEXTS, TIMES

NUMERIC = (click.FloatRange, click.IntRange)


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from commands(found, (*path, name))
    else:
        yield path, command


OPTIONS = [
    (path, command, option)
    for path, command in commands(cli)
    for option in command.params
    if isinstance(option, click.Option)
]


def arguments(path: tuple[str, ...], command: click.Command, option: click.Option, value: str) -> list[str]:
    """The command with that value, and what else it cannot do without."""
    others = [other for other in command.params if other.required and other is not option]
    return [
        *path,
        f"{option.opts[0]}={value}",
        *(f"{other.opts[0]}=x" for other in others if isinstance(other, click.Option)),
        "--",
        *("00000000-0000-7000-8000-000000000001" for other in others if isinstance(other, click.Argument)),
    ]


def names_of(found: tuple[tuple[str, ...], click.Command, click.Option]) -> str:
    return " ".join((*found[0], found[2].opts[0]))


@pytest.mark.parametrize("found", [row for row in OPTIONS if isinstance(row[2].type, NUMERIC)], ids=names_of)
def test_what_is_no_number_in_range_is_refused_before_anything_is_done(
    found: tuple[tuple[str, ...], click.Command, click.Option],
) -> None:
    for value in (*NUMBERS, *TEXTS):
        if value in ("٣", "1e308"):  # Python reads the first as 3; the second is checked by its own bound
            continue
        answer = CliRunner().invoke(cli, arguments(*found, value))
        assert answer.exit_code == 2, (value[:40], answer.output[:500])
        assert "Traceback" not in answer.output


@pytest.mark.parametrize("found", [row for row in OPTIONS if row[2].opts[0] in ("--since", "--until")], ids=names_of)
def test_what_is_no_time_is_refused_before_anything_is_done(
    found: tuple[tuple[str, ...], click.Command, click.Option],
) -> None:
    for value in (*TIMES, *TEXTS, *CURSORS):
        if value == "0w":
            continue
        answer = CliRunner().invoke(cli, arguments(*found, value))
        assert answer.exit_code == 2, (value[:40], answer.output[:500])
        assert "is no time" in answer.output or "is no UTF-8 text" in answer.output


@pytest.mark.parametrize("text", ABSURD, ids=lambda text: ascii(text[:20]))
def test_a_time_is_within_the_years_that_have_dates_or_refused(text: str) -> None:
    try:
        assert 0 <= parse_time(text, 1_767_225_600_000) <= LAST_MS
    except SettingsError as refusal:
        assert len(str(refusal)) < 200


@pytest.mark.parametrize(
    "given",
    [
        ["dead", "list", "--group=\udcff"],
        ["dead", "discard", "--reason", "\udcff"],
        ["retries", "show", "\ud800"],
        ["emit", "FileImportFailed", '{"file_name": "\udcff"}'],
        ["trace", "\udcff"],
    ],
    ids=lambda given: " ".join(given[:2]),
)
def test_bytes_that_are_no_text_are_refused_before_anything_is_done(given: list[str]) -> None:
    answer = CliRunner().invoke(cli, given)
    assert answer.exit_code == 2
    assert "no UTF-8 text" in answer.output
