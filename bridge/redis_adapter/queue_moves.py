"""``QueueMoves``: puts what stands on a queue of a Redis broker onto another, and tells the accounting."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import cast

import redis

from bridge.messages.queue_item import peek
from bridge.redis_adapter.client import keyspace_of, store_errors
from bridge.redis_adapter.queue_discovery import priority_lists
from bridge.redis_adapter.queue_inspection import open_redis
from bridge.redis_adapter.script import Call, script
from bridge.settings import QueueSettings
from bridge.settings.topology import topology

PORTION = 50
"""Messages that one script call moves; each may have 256 KiB, and Redis reads each once."""


class QueueMoves:
    """Moves messages, and tells the accounting where they are."""

    def __init__(self, client: redis.Redis, settings: QueueSettings) -> None:
        self._client = client
        self._settings = settings
        self._open_key = keyspace_of(client).OPEN

    def move(self, source: str, target: str) -> Iterator[tuple[int, int]]:
        """Move what stands on a queue of a Redis broker now, also on its priority lists, portion by portion.

        Where it raises (BrokerError, too), what was moved stays moved.

        Returns:
            How many were moved so far, and, at last, how many stand there still, which came meanwhile.
        """
        prefix, moved = self._settings.queue_prefix, 0
        with open_redis(self._settings) as broker:
            for place in (source, *priority_lists(source)):
                waiting = broker.llen(prefix + place)
                while waiting > 0:
                    items = cast("list[bytes]", broker.lrange(prefix + place, -min(PORTION, waiting), -1))[::-1]
                    if not items:
                        break
                    number = self._move_portion(broker, prefix + place, prefix + target, target, items)
                    moved, waiting = moved + number, waiting - max(number, 1)
                    yield moved, 0
            left = sum(broker.llen(prefix + place) for place in (source, *priority_lists(source)))
        yield moved, left

    def note(self, target: str, book_ids: Sequence[str]) -> None:
        """Tell the accounting that messages, which were moved on another broker, are on this queue. Idempotent."""
        pairs = [word for book_id in book_ids for word in ("", book_id)]
        with store_errors():
            script("requeue").send(self._client, Call([self._open_key], [target, *pairs]))

    def _move_portion(
        self, broker: redis.Redis, source_key: str, target_key: str, target: str, items: Sequence[bytes]
    ) -> int:
        book_ids = [book_id_of(item) for item in items]
        hashes = (hashlib.sha1(item, usedforsecurity=False).hexdigest() for item in items)
        pairs = [word for pair in zip(hashes, book_ids, strict=True) for word in pair]
        keys = {"open": self._open_key, "source": source_key, "target": target_key}
        moved = int(script("requeue").run(broker, [target, *pairs], **keys))
        if moved and not topology(self._settings).one_server:
            self.note(target, book_ids[:moved])
        return moved


def book_id_of(item: bytes) -> str:
    """The message under which the events of a queue's item are in the accounting; empty if it does not say."""
    peeked = peek(item)
    return peeked.book_id if peeked else ""
