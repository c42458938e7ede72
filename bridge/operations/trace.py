"""``Tracer``: where one event is, and what happened to it; it may be in several places when it was emitted twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from bridge.messages.queue_item import body_of
from bridge.model.accounting import OpenMessage
from bridge.model.dead_letter import DeadLetter, Tombstone
from bridge.model.errors import BrokerError
from bridge.model.retry import RetryRecord
from bridge.operations.letters import every_letter
from bridge.ports import Publication, Store


class Whereabouts(StrEnum):
    """Where a message on its way is."""

    QUEUED = "queued"
    """It stands on its queue."""
    CLAIMED = "claimed"
    """A worker has it."""
    MISSING = "missing"
    """It is neither on its queue nor claimed by a worker."""
    UNKNOWN = "unknown"
    """The broker does not tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnItsWay:
    """A message that was accepted brings it."""

    message: OpenMessage
    whereabouts: Whereabouts


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """It failed, and is tried again."""

    record: RetryRecord | None  # with every failed attempt; None if it cannot be read
    due_ms: int | None  # when it is put on its queue, in ms of Redis time; None if that is forgotten
    due_in_s: float | None  # seconds until then; negative if it is overdue


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedEvent:
    """It had no recipient."""

    at_ms: int


Place = Publication | OnItsWay | Waiting | DeadLetter | SkippedEvent | Tombstone
"""A dead letter may be one that holds a whole message with the event in it."""


class Tracer:
    """Looks everywhere for one event. Reads only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def trace(self, event_id: UUID, user: str | None = None) -> list[Place]:
        """Every place that knows the event; none if it is unknown.

        Args:
            event_id: id of the event.
            user: canonical id of its user, if known: large stores answer at once then.
        """
        found: list[Place] = [
            *self._store.published.find(event_id, user),
            *self._on_its_way(event_id),
            *self._elsewhere(str(event_id)),
        ]
        # Whole messages are kept under another id; looking through all letters is the last resort.
        return found or [letter for letter in every_letter(self._store.dead_letters) if holds(letter, event_id)]

    def _on_its_way(self, event_id: UUID) -> Iterator[OnItsWay]:
        for message in self._store.accounting.holding(event_id):
            whereabouts = self._whereabouts(message, event_id)
            # Read again: it may have ended while we looked.
            if any(event_id in still.event_ids for still in self._store.accounting.get([message.message_id])):
                yield OnItsWay(message=message, whereabouts=whereabouts)

    def _whereabouts(self, message: OpenMessage, event_id: UUID) -> Whereabouts:
        try:
            messages = self._store.queues.messages([message.queue])
            if messages is None:
                return Whereabouts.UNKNOWN
            for queued in messages:
                # A message that was split stands on its queue in parts, under the id of the whole.
                if queued.book_id == message.message_id and (not queued.is_part or event_id in queued.event_ids()):
                    return Whereabouts.CLAIMED if queued.claimed else Whereabouts.QUEUED
        except BrokerError:
            return Whereabouts.UNKNOWN
        return Whereabouts.MISSING

    def _elsewhere(self, event_id: str) -> Iterator[Place]:
        """What is kept by the event's own id."""
        kept = self._store.kept.look_up(event_id)
        if kept.waits:
            yield Waiting(
                record=kept.retry,
                due_ms=None if kept.due_ms is None else int(kept.due_ms),
                due_in_s=None if kept.due_ms is None else (kept.due_ms - kept.now_ms) / 1000,
            )
        if kept.letter is not None:
            yield kept.letter
        if kept.skipped_ms is not None:
            yield SkippedEvent(at_ms=kept.skipped_ms)
        if kept.tombstone is not None:
            yield kept.tombstone


def holds(letter: DeadLetter, event_id: UUID) -> bool:
    """Whether a letter that keeps a whole message keeps this event's id in it."""
    sought = str(event_id).encode()
    return bool(letter.raw) and (sought in letter.raw or sought in body_of(letter.raw))
