"""Looking for messages that are on their way: which are on a queue or claimed by a worker, and which are nowhere."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from bridge.messages.queue_item import QueuedMessage
from bridge.model.accounting import OpenMessage
from bridge.operations.letters import chunks
from bridge.ports import Accounting, Store

LOOKS = 2
"""A message that is given back while the queues are read can be missed by one look, hardly by two."""
RECORDS_CHUNK = 500


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
