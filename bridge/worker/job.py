"""``Job`` and ``Todo``: one message's work, and what is to be done about each of its events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from bridge.model.pipeline import Dead, Outcome, Published, Retry, Skipped
from bridge.model.registry import DomainToSSEMapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One message's work."""

    mapping: DomainToSSEMapping  # mapping of the task that received it
    envelopes: Sequence[object]  # decoded JSON, of any shape
    attempt: int  # 1 for the first
    message_id: str  # the Celery task id
    booked_as: str  # the message under which the events are in the accounting; empty if they were not announced
    redrive: str = ""  # the redrive that sent it; empty if none

    @property
    def book_id(self) -> str:
        """The message with which the accounting has the events; empty for retries and for redriven letters."""
        return "" if self.attempt > 1 or self.redrive else self.booked_as or self.message_id


@dataclass(frozen=True, slots=True)
class Todo:
    """A job's outcomes, by what is to be done about them; ``took_us`` is what deciding each took."""

    published: list[Published] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    took_us: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Todo":
        """Sort outcomes."""
        todo = cls()
        for outcome in outcomes:
            todo.add(outcome)
        return todo

    def add(self, outcome: Outcome) -> None:
        """One more outcome."""
        match outcome:
            case Published():
                self.published.append(outcome)
            case Skipped():
                self.skipped.append(outcome)
            case Retry():
                self.retries.append(outcome)
            case Dead():
                self.dead.append(outcome)
            case _:
                assert_never(outcome)
