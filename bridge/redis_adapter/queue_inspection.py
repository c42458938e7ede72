"""What stands on the queues of a Redis broker, message by message, without taking it."""

from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import msgspec
import redis

from bridge.messages.compression import decompressed
from bridge.messages.queue_item import Peeked, peek, peek_claim
from bridge.model.bounds import PARSER_ERRORS
from bridge.model.errors import DecodeError, as_broker_error
from bridge.redis_adapter.client import connect_broker
from bridge.redis_adapter.errors import REDIS_TROUBLES, store_error
from bridge.redis_adapter.queue_discovery import priority_lists
from bridge.settings import QueueSettings

UNACKED_KEY = "unacked"
"""kombu's hash of the messages that workers have claimed."""

CHUNK_FIRST = 50
CHUNK_MAX = 2000
CHUNK_BYTES = 2_000_000
"""About how much of a queue is held in memory at once."""
CLAIMED_CHUNK = 100


class _Identified(msgspec.Struct):
    id: UUID


_bodies = msgspec.json.Decoder(tuple[tuple[list[_Identified]], Any, Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedMessage:
    """A message that stands on a queue or is claimed by a worker."""

    message_id: str  # the Celery task id
    book_id: str  # the message under which its events are in the accounting
    claimed: bool  # whether a worker has it
    body: str  # base64 of the Celery body, as it was sent
    compression: object = None  # as its header says; anything may stand there

    @property
    def is_part(self) -> bool:
        """Whether it holds only part of the message that is in the accounting, which was taken apart."""
        return self.message_id != self.book_id

    def event_ids(self) -> frozenset[UUID]:
        """The ids of its events; none if the body cannot be read."""
        try:
            body = decompressed(b64decode(self.body), self.compression)
            return frozenset(event.id for event in _bodies.decode(body)[0][0])
        except (DecodeError, *PARSER_ERRORS):
            return frozenset()


@contextmanager
def broker_errors() -> Iterator[None]:
    """Turn whatever redis-py raises into a BrokerError."""
    try:
        yield
    except REDIS_TROUBLES as error:
        raise as_broker_error(store_error(error), "The broker did not answer.") from error


@contextmanager
def open_redis(settings: QueueSettings) -> Iterator[redis.Redis]:
    """A client of a Redis broker, alone or behind sentinels; it puts no prefix before keys.

    Raises:
        BrokerError: it is away or refuses; also from within, whatever asks it.
    """
    with broker_errors(), connect_broker(settings) as client:
        yield client


@contextmanager
def open_queues(settings: QueueSettings) -> Iterator["RedisQueues"]:
    """The queues of a Redis broker, alone or behind sentinels; raises as ``open_redis``."""
    with open_redis(settings) as client:
        yield RedisQueues(client, settings.queue_prefix)


class RedisQueues:
    """Reads queues in kombu's format. What is no message is passed over."""

    def __init__(self, client: redis.Redis, keyprefix: str) -> None:
        self._client = client
        self._prefix = keyprefix

    def exists(self, name: str) -> bool:
        """Whether anything stands on a queue, also on its priority lists."""
        return bool(self._client.exists(*(self._prefix + place for place in (name, *priority_lists(name)))))

    def messages(self, queues: Sequence[str]) -> Iterator[QueuedMessage]:
        """What stands on the queues, then what workers have.

        In this order, so that a message which is claimed meanwhile is seen; one that is given back meanwhile
        may be missed, and others may be seen twice.
        """
        for name in queues:
            yield from self._standing(name)
        yield from self._claimed()

    def _standing(self, name: str) -> Iterator[QueuedMessage]:
        # From the head, where producers push: what is pushed meanwhile moves the rest on, and never hides it.
        start, count = 0, CHUNK_FIRST
        while True:
            items = cast("list[bytes]", self._client.lrange(self._prefix + name, start, start + count - 1))
            for item in items:
                message = _message(peek(item), claimed=False)
                if message is not None:
                    yield message
            if len(items) < count:
                return
            start += count
            average_bytes = max(1, sum(map(len, items)) // len(items))
            count = min(CHUNK_MAX, max(1, CHUNK_BYTES // average_bytes))

    def _claimed(self) -> Iterator[QueuedMessage]:
        cursor = 0
        while True:
            answer = self._client.hscan(self._prefix + UNACKED_KEY, cursor, count=CLAIMED_CHUNK)
            cursor, entries = cast("tuple[int, dict[bytes, bytes]]", answer)
            for entry in entries.values():
                message = _message(peek_claim(entry), claimed=True)
                if message is not None:
                    yield message
            if not cursor:
                return


def _message(item: Peeked | None, *, claimed: bool) -> QueuedMessage | None:
    if item is None:
        return None
    headers = item.headers  # not by the properties, which would cost as much as the parser
    return QueuedMessage(
        message_id=headers.id or "",
        book_id=headers.bridge_booked or headers.id or "",
        claimed=claimed,
        body=item.body,
        compression=headers.compression,
    )
