"""How a dead letter or a waiting retry looks: as a row of a list, and whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bridge.model.pipeline import Failure
from bridge.model.pipeline.root_cause import cause_of
from bridge.operations.groups import Group
from bridge.operations.retries import Waiting
from bridge.operations.selection import shown_time
from bridge.redis_adapter import Attempt, DeadLetter
from bridge.views.words import counted, event_class, failure_in_words

WHY_CHARS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One failed event in a list.

    Attributes:
        at_ms: when it was buried, or is due; None while it is being tried.
        item_id: of the letter, or of the event.
        user_id: whose it is; empty if nobody's.
        task: that handles it.
        failure: the last.
        tries: attempts so far; None if it was never run.
        group: of the failure's cause.
    """

    at_ms: int | None
    item_id: str
    user_id: str
    task: str
    failure: Failure
    tries: int | None
    group: str

    @property
    def at(self) -> str:
        """The time, or why there is none."""
        return "being tried" if self.at_ms is None else shown_time(self.at_ms)

    @property
    def why(self) -> str:
        """The failure, short enough for a list."""
        failure = self.failure
        return f"{failure.stage}: {failure.error_class}: {failure.message[:WHY_CHARS]}"


class Fact(NamedTuple):
    """One thing that is known of a failed event; nothing if the value is empty."""

    name: str
    value: str


def letter_row(at_ms: int, letter: DeadLetter) -> Row:
    """A dead letter in a list."""
    return Row(
        at_ms=at_ms,
        item_id=letter.letter_id,
        user_id=letter.user_id,
        task=letter.task,
        failure=letter.failure,
        tries=letter.attempts[-1].number if letter.attempts else None,
        group=letter.group,
    )


def retry_row(waiting: Waiting) -> Row:
    """A waiting retry in a list."""
    record, last = waiting.record, waiting.record.attempts[-1]
    return Row(
        at_ms=None if waiting.taken else waiting.due_ms,
        item_id=record.event_id,
        user_id=record.user_id,
        task=record.task,
        failure=last.failure,
        tries=last.number,
        group=cause_of(last.failure).group,
    )


def letter_facts(letter: DeadLetter) -> list[Fact]:
    """A dead letter without its contents and attempts."""
    return [
        Fact("task", letter.task),
        Fact("queue", letter.queue),
        Fact("user", letter.user_id),
        Fact("group", letter.group),
        Fact("buried", letter.buried_at),
        Fact("worker", letter.worker),
        Fact("release", letter.release),
        Fact("died in", letter.replay and f"replay {letter.replay}"),
    ]


def retry_facts(waiting: Waiting, *, payloads: bool) -> list[Fact]:
    """A waiting retry with its contents, masked without ``payloads``, and without its attempts."""
    row = retry_row(waiting)
    return [
        Fact("task", row.task),
        Fact("queue", waiting.record.queue),
        Fact("user", row.user_id),
        Fact("group", row.group),
        Fact("due", row.at),
        Fact("envelope", waiting.as_dict(payloads=payloads)["envelope"]),
    ]


def attempts_in_words(attempts: Sequence[Attempt]) -> list[Fact]:
    """Each attempt: its name, and when and why it failed."""
    return [
        Fact(f"attempt {attempt.number}", f"{attempt.at} {failure_in_words(attempt.failure)}") for attempt in attempts
    ]


def users_in_words(group: Group) -> str:
    """How many users a cause hits; with a + where there may be more."""
    return counted(group.users, "user", "" if group.users_exact else "+")


def types_in_words(tasks: Sequence[tuple[str, int]]) -> str:
    """How many of each type, in the order given."""
    return ", ".join(f"{event_class(task) or 'none'} {count:,}" for task, count in tasks)
