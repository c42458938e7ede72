"""Looking for messages that are on their way: which are on a queue or claimed by a worker, and which are nowhere."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Protocol
from uuid import UUID

from bridge.amqp_adapter.queue_inspection import Depth, read_depths
from bridge.model.accounting import OpenMessage
from bridge.redis_adapter import Ledger, QueuedMessage, RedisQueues, open_queues
from bridge.settings import AccountingSettings
from bridge.settings.topology import topology

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


class Search(Protocol):
    """How to look for messages on one kind of broker."""

    def __call__(self, message_ids: Collection[str], queues: Collection[str]) -> Iterator[Sought]:
        """What was not found, though the accounting has it on its way.

        Args:
            message_ids: in the accounting, to look for.
            queues: where they may stand.
        """
        ...


def search_on(settings: AccountingSettings, ledger: Ledger) -> Search:
    """The search that fits the broker."""
    return RedisSearch(settings, ledger) if topology(settings).on_redis else DepthSearch(settings, ledger)


@dataclass(frozen=True, slots=True)
class RedisSearch:
    """Reads every message on the queues and claimed by workers."""

    settings: AccountingSettings
    ledger: Ledger

    def __call__(self, message_ids: Collection[str], queues: Collection[str]) -> Iterator[Sought]:
        """As ``Search``."""
        seen = Seen(message_ids)
        with open_queues(self.settings) as broker:
            for _ in range(LOOKS):
                if seen.absent:
                    seen.look(broker, queues)
        # Their records are read last: what ended while we looked is not missing.
        for message in _records(self.ledger, sorted(seen.absent)):
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

    def look(self, broker: RedisQueues, queues: Collection[str]) -> None:
        """Read the queues once."""
        for message in broker.messages(sorted(queues)):
            self.note(message)

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


@dataclass(frozen=True, slots=True)
class DepthSearch:
    """Asks how many messages stand on each queue: RabbitMQ shows none without taking it."""

    settings: AccountingSettings
    ledger: Ledger

    def __call__(self, message_ids: Collection[str], queues: Collection[str]) -> Iterator[Sought]:
        """As ``Search``."""
        # The queues first: what is in the accounting after its queue was empty was not on the queue.
        depths = read_depths(self.settings, sorted(queues))
        for message in _records(self.ledger, sorted(message_ids)):
            yield Sought(message=message, verdict=judge_by_depth(message, depths))


def judge_by_depth(message: OpenMessage, depths: Mapping[str, Depth]) -> Verdict:
    """What an empty or a filled queue says of a message that should have left it.

    A queue without consumers proves nothing: a worker that is stopping consumes no more, and still has messages.
    """
    depth = depths.get(message.queue)
    return Verdict.UNCHECKED if depth is None or depth.ready else Verdict.UNCLEAR


def _records(ledger: Ledger, message_ids: list[str]) -> Iterator[OpenMessage]:
    rest = iter(message_ids)
    while chunk := list(islice(rest, RECORDS_CHUNK)):
        yield from ledger.get(chunk)
