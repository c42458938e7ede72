"""What stands on the queues of a Redis broker, message by message, without taking it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import redis

from bridge.messages.queue_item import Peeked, QueuedMessage, peek, peek_claim
from bridge.model.errors import as_broker_error
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
