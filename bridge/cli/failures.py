"""How failing events look in a terminal: as a list, by cause, and one whole with every attempt and the traceback."""

from collections.abc import Sequence

import click

from bridge.cli.console import console, print_json, printable, styled, table
from bridge.model.dead_letter import Cursor, DeadLetter, Tombstone
from bridge.model.moments import shown_time
from bridge.model.pipeline import Failure
from bridge.model.retry import Attempt, WaitingRetry
from bridge.operations import Group, letter_as_dict, retry_as_dict
from bridge.views.failed_events import (
    Row,
    attempts_in_words,
    hits_in_words,
    letter_facts,
    retry_facts,
    types_in_words,
)
from bridge.views.words import Named, addresses_in_words, counted, event_class, failure_in_words

SPARKS = "▁▂▃▄▅▆▇█"
GROUP_TYPES_MAX = 3
WHY_CHARS = 100


def print_rows(rows: Sequence[Row], *, at: str, item: str, following: Cursor | None) -> None:
    """A page of a list: what its times and its items are called, and where the next page begins."""
    shown = table(at, f"{item}, and its addresses", "type, and why", "tries", "group")
    for column in (0, 1, 4):
        shown.columns[column].no_wrap = True
    for row in rows:
        shown.add_row(
            row.at,
            printable(f"{row.item.item_id}\n{addresses_in_words(row.item.addresses)}"),
            printable(f"{event_class(row.item.task)}\n{failure_in_words(row.failure, WHY_CHARS)}"),
            str(row.tries or "-"),
            row.item.group,
        )
    console().print(shown)
    if following:
        console().print(f"More: --after {following}")


def print_groups(groups: tuple[Group, ...], what: str, *, as_json: bool) -> None:
    """Root causes, a paragraph each: a cause is too long for a column."""
    if as_json:
        print_json([group.as_dict() for group in groups])
        return
    out = console()
    for group in groups:
        cause, times = group.cause, counted(group.count, "time")
        title = "[bold]{}[/]  [bold red]{}[/], {}  {}"
        lines = [
            styled(title, group.group, times, hits_in_words(group), sparkline(group.trend)),
            f"  what    {printable(f'{cause.error_class}: {cause.message}')}",
            f"  where   {printable(': '.join(filter(None, [cause.stage, cause.place])))}",
            f"  when    first {shown_time(group.first_ms)}, last {shown_time(group.last_ms)}",
            f"  types   {printable(types_in_words(group.tasks[:GROUP_TYPES_MAX]))}",
            f"  such as {printable(group.sample)}",
        ]
        for line in lines:
            out.print(line, soft_wrap=True)
        out.print()
    out.print(f"{counted(sum(group.count for group in groups), what)} of {counted(len(groups), 'cause')}.")


def print_letter(letter: DeadLetter, *, payloads: bool) -> None:
    """A dead letter."""
    values = letter_as_dict(letter, payloads=payloads)
    raw = repr(letter.raw) if payloads and letter.raw else str(values["raw"])
    contents = [Named("envelope", values["envelope"]), Named("raw", raw)]
    print_facts([Named("dead letter", letter.letter_id), *letter_facts(letter), *contents])
    _print_attempts(letter.attempts, letter.failure)


def print_waiting(waiting: WaitingRetry, *, payloads: bool) -> None:
    """A waiting retry."""
    envelope = Named("envelope", retry_as_dict(waiting, payloads=payloads)["envelope"])
    print_facts([Named("retry of", waiting.record.event_id), *retry_facts(waiting), envelope])
    attempts = waiting.record.attempts
    _print_attempts(attempts, attempts[-1].failure)


def print_tombstone(stone: Tombstone) -> None:
    """What is left of a discarded letter."""
    facts = [
        Named("discarded", stone.letter_id),
        Named("task", stone.task),
        Named("error", stone.error_class),
        Named("at", stone.at),
        Named("by", stone.who),
        Named("reason", stone.reason),
    ]
    print_facts(facts)


def print_facts(facts: Sequence[Named]) -> None:
    """A line each, but for those that say nothing."""
    for name, value in facts:
        if value:
            click.echo(f"{name:<12}{printable(value)}")


def _print_attempts(attempts: Sequence[Attempt], failure: Failure) -> None:
    print_facts(attempts_in_words(attempts) or [Named("failure", failure_in_words(failure))])
    if failure.traceback:
        click.echo("\n" + printable(failure.traceback.rstrip()))


def sparkline(trend: tuple[int, ...]) -> str:
    """Numbers as a row of bars."""
    most = max(trend, default=0) or 1
    return "".join(SPARKS[round(number / most * (len(SPARKS) - 1))] for number in trend)
