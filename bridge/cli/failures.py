"""How one failing event looks to a person: what it is, whom it hits, every attempt, the traceback; contents masked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bridge.cli.console import printable
from bridge.model.pipeline.root_cause import cause_of
from bridge.operations.letters import as_dict
from bridge.operations.retries import Waiting
from bridge.operations.selection import shown_time
from bridge.redis_adapter import Attempt, DeadLetter

if TYPE_CHECKING:
    from bridge.model.pipeline import Failure
    from bridge.operations.letters import Tombstone


def print_letter(letter: DeadLetter, *, payloads: bool) -> None:
    """A dead letter."""
    values = as_dict(letter, payloads=payloads)
    rows = [
        ("dead letter", letter.letter_id),
        ("task", letter.task),
        ("queue", letter.queue),
        ("user", letter.user_id),
        ("group", letter.group),
        ("buried", f"{letter.buried_at} by {letter.worker}, release {letter.release}"),
        ("replay", letter.replay and f"{letter.replay}, in which it died again"),
        ("envelope", values["envelope"]),
        ("raw", repr(letter.raw) if payloads and letter.raw else str(values["raw"])),
    ]
    _print(rows, letter.attempts, letter.failure)


def print_waiting(waiting: Waiting, *, payloads: bool) -> None:
    """A waiting retry."""
    record = waiting.record
    failure = record.attempts[-1].failure
    rows = [
        ("retry of", record.event_id),
        ("task", record.task),
        ("queue", record.queue),
        ("user", record.user_id),
        ("group", cause_of(failure).group),
        ("due", "being tried" if waiting.taken else shown_time(waiting.due_ms)),
        ("envelope", waiting.as_dict(payloads=payloads)["envelope"]),
    ]
    _print(rows, record.attempts, failure)


def print_tombstone(stone: "Tombstone") -> None:
    """What is left of a discarded letter."""
    rows = [
        ("discarded", stone.letter_id),
        ("task", stone.task),
        ("error", stone.error_class),
        ("at", stone.at),
        ("by", stone.who),
        ("reason", stone.reason),
    ]
    _print_rows(rows)


def _print(rows: Sequence[tuple[str, str]], attempts: Sequence[Attempt], failure: "Failure") -> None:
    _print_rows(rows)
    for attempt in attempts:
        what = attempt.failure
        click.echo(
            printable(f"attempt {attempt.number}   {attempt.at} {what.stage}: {what.error_class}: {what.message}")
        )
    if not attempts:
        click.echo(printable(f"failure     {failure.stage}: {failure.error_class}: {failure.message}"))
    if failure.traceback:
        click.echo("\n" + printable(failure.traceback.rstrip()))


def _print_rows(rows: Sequence[tuple[str, str]]) -> None:
    for name, value in rows:
        if value:
            click.echo(f"{name:<12}{printable(value)}")
