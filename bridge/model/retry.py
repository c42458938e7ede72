"""``RetryRecord``: an event that waits for its next attempt, and the attempts so far; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from msgspec.structs import force_setattr

from bridge.model.pipeline import Failure
from bridge.model.registry.addresses import named_in

LEASE_S = 30
"""How long a mover may take to put claimed retries back on their queue."""
RESEND_S = 3600
"""A retry that is back on its queue is sent once more after this time, unless its event was settled."""
CLAIM_MAX = 500
"""Retries that one claim takes at most."""
HISTORY_MAX = 10
"""Past attempts kept with an event; the first is kept, then the newest."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One failed try: its number (1-based), when (RFC 3339, UTC), and why."""

    number: int
    at: str
    failure: Failure


class RetryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An event that waits."""

    event_id: str  # id of the event
    task: str  # the Celery task that tries again
    queue: str  # where that task's messages go
    envelope: str  # JSON of the envelope
    attempts: tuple[Attempt, ...]  # the failed tries so far, oldest first
    # Addresses of the event, as texts, as the mapping says; where that cannot be told, of its ``data.user_id``
    addresses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.addresses:
            force_setattr(self, "addresses", named_in(self.envelope))

    @property
    def attempt(self) -> int:
        """The number of the newest failed attempt."""
        return self.attempts[-1].number


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingRetry:
    """A retry with its place in the queue."""

    record: RetryRecord  # the event and its failed attempts
    due_ms: int  # when it is tried again, in ms of Redis time
    taken: bool  # it is being tried: on its queue or claimed by a worker. Operators leave it alone.

    @property
    def place(self) -> tuple[float, str]:
        """Due time and id, by which retries are ordered."""
        return self.due_ms + (0.5 if self.taken else 0), self.record.event_id


class WaitingFor(NamedTuple):
    """How many retries wait for a task on a queue."""

    task: str
    queue: str
    retries: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Retries taken for ``LEASE_S``."""

    records: tuple[RetryRecord, ...]  # what is due
    # Ids and bytes of what is due and cannot be read: written by another version, or damaged
    unreadable: tuple[tuple[str, bytes], ...]
    lease: str  # hand it to ``confirm``
    next_due_s: float | None  # seconds until the next one is due; None when nothing waits


def extend_history(history: Sequence[Attempt], attempt: Attempt) -> tuple[Attempt, ...]:
    """Add an attempt, within ``HISTORY_MAX``; the first attempt is always kept."""
    attempts = (*(past for past in history if past.number < attempt.number), attempt)
    return attempts if len(attempts) <= HISTORY_MAX else (attempts[0], *attempts[-(HISTORY_MAX - 1) :])
