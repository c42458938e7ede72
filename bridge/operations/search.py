"""Looking for one event wherever it may be, and for messages that are on their way, or nowhere."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from bridge.messages.queue_item import QueuedMessage, body_of
from bridge.model.accounting import OpenMessage
from bridge.model.dead_letter import DeadLetter, Tombstone
from bridge.model.errors import BrokerError
from bridge.model.registry import Address
from bridge.model.retry import RetryRecord
from bridge.operations.letters import chunks, every_letter
from bridge.ports import Accounting, Publication, Store

LOOKS = 2
"""A message that is given back while the queues are read can be missed by one look, hardly by two."""
RECORDS_CHUNK = 500


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

    def trace(self, event_id: UUID, address: Address | None = None) -> list[Place]:
        """Every place that knows the event; none if it is unknown.

        Args:
            event_id: id of the event.
            address: that was told, if known: large stores answer at once then, and of that address and everyone alone.
        """
        found: list[Place] = [
            *self._store.published.find(event_id, address),
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


class Verdict(StrEnum):
    """What a search can say of events that it did not find."""

    MISSING = "missing"
    """On no queue, and claimed by no worker."""
    UNCLEAR = "unclear"
    """On no queue; whether a worker has them, this broker does not tell."""
    UNCHECKED = "unchecked"
    """Other messages stand on their queue, and this broker does not tell which."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sought:
    """A message with its events that were not found."""

    message: OpenMessage
    verdict: Verdict


def search(store: Store, message_ids: Collection[str], queues: Collection[str]) -> Iterator[Sought]:
    """What was not found, though the accounting has it on its way.

    Args:
        store: the accounting and the broker's queues.
        message_ids: in the accounting, to look for.
        queues: where they may stand.

    Raises:
        BrokerError: the broker is away or refuses.
    """
    names, seen = sorted(queues), Seen(message_ids)
    for _ in range(LOOKS):
        messages = store.queues.messages(names) if seen.absent else iter(())
        if messages is None:
            yield from _search_by_depth(store, message_ids, names)
            return
        for queued in messages:
            seen.note(queued)
    # Their records are read last: what ended while we looked is not missing.
    for message in _records(store.accounting, seen.absent):
        left = seen.unseen(message)
        if left:
            yield Sought(message=replace(message, event_ids=left), verdict=Verdict.MISSING)


class Seen:
    """Which of the sought messages were seen, whole or in parts.

    Attributes:
        absent: messages that were not seen as a whole.
    """

    def __init__(self, message_ids: Collection[str]) -> None:
        self.absent = set(message_ids)
        self._parts: dict[str, set[UUID]] = {}

    def note(self, message: QueuedMessage) -> None:
        """Take note of a message; of one that was taken apart, only the events of this part are seen."""
        if message.book_id not in self.absent:
            return
        if message.is_part:
            self._parts.setdefault(message.book_id, set()).update(message.event_ids())
        else:
            self.absent.discard(message.book_id)

    def unseen(self, message: OpenMessage) -> tuple[UUID, ...]:
        """The events of a message that were in no part of it."""
        parts = self._parts.get(message.message_id, set())
        return tuple(event_id for event_id in message.event_ids if event_id not in parts)


def _search_by_depth(store: Store, message_ids: Collection[str], queues: list[str]) -> Iterator[Sought]:
    # The queues first: what is in the accounting after its queue was empty was not on the queue.
    states, _ = store.queues.read(queues, store.clock.now_ms())
    depths = {state.name: state.depth for state in states}
    for message in _records(store.accounting, message_ids):
        yield Sought(message=message, verdict=judge_by_depth(message, depths))


def judge_by_depth(message: OpenMessage, depths: Mapping[str, int]) -> Verdict:
    """What an empty or a filled queue says of a message that should have left it.

    A queue without consumers proves nothing: a worker that is stopping consumes no more, and still has messages.
    """
    return Verdict.UNCLEAR if depths.get(message.queue) == 0 else Verdict.UNCHECKED


def _records(accounting: Accounting, message_ids: Collection[str]) -> Iterator[OpenMessage]:
    for chunk in chunks(sorted(message_ids), RECORDS_CHUNK):
        yield from accounting.get(chunk)
