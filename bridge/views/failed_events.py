"""How a dead letter or a waiting retry looks: as a row of a list, and whole."""

from collections.abc import Sequence
from typing import NamedTuple

from bridge.model.dead_letter import DeadLetter
from bridge.model.moments import shown_time
from bridge.model.pipeline import Failure
from bridge.model.retry import Attempt, WaitingRetry
from bridge.operations import Facts, Group, facts_of
from bridge.views.words import Named, counted, event_class, failure_in_words


class Row(NamedTuple):
    """One failed event in a list: its last failure, its tries (None if it was never run), and until when it waits.

    ``at_ms`` is when it was dead-lettered, or is due; None while it is being tried.
    """

    at_ms: int | None
    item: Facts
    failure: Failure
    tries: int | None

    @property
    def at(self) -> str:
        """The time, or why there is none."""
        return "being tried" if self.at_ms is None else shown_time(self.at_ms)


def letter_row(at_ms: int, letter: DeadLetter) -> Row:
    """A dead letter in a list."""
    return Row(at_ms, facts_of(letter), letter.failure, letter.attempts[-1].number if letter.attempts else None)


def retry_row(waiting: WaitingRetry) -> Row:
    """A waiting retry in a list."""
    last = waiting.record.attempts[-1]
    return Row(None if waiting.taken else waiting.due_ms, facts_of(waiting.record), last.failure, last.number)


def letter_facts(letter: DeadLetter) -> list[Named]:
    """A dead letter without its contents and attempts."""
    return [
        *_shared_facts(facts_of(letter)),
        Named("buried", letter.buried_at),
        Named("worker", letter.worker),
        Named("release", letter.release),
        Named("died in", letter.replay and f"redrive {letter.replay}"),
    ]


def retry_facts(waiting: WaitingRetry) -> list[Named]:
    """A waiting retry without its contents and attempts."""
    row = retry_row(waiting)
    return [*_shared_facts(row.item), Named("due", row.at)]


def _shared_facts(item: Facts) -> list[Named]:
    return [
        Named("task", item.task),
        Named("queue", item.queue),
        Named("user", item.user_id),
        Named("group", item.group),
    ]


def attempts_in_words(attempts: Sequence[Attempt]) -> list[Named]:
    """Each attempt: its name, and when and why it failed."""
    return [
        Named(f"attempt {attempt.number}", f"{attempt.at} {failure_in_words(attempt.failure)}") for attempt in attempts
    ]


def users_in_words(group: Group) -> str:
    """How many users a cause hits; with a + where there may be more."""
    return counted(group.users, "user", "" if group.users_exact else "+")


def types_in_words(tasks: Sequence[tuple[str, int]]) -> str:
    """How many of each type, in the order given."""
    return ", ".join(f"{event_class(task) or 'none'} {count:,}" for task, count in tasks)
