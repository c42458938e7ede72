"""``QueueNames``: which queues the accounting knows, in a sorted set by when they were named last."""

from collections.abc import Iterable
from typing import cast

import redis

from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import script

QUEUES_MAX = 1_000
"""Names that are remembered; the ones not named for longest fall off."""


class QueueNames:
    """``bridge.ports.QueueNames`` on Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._note = script("note_queues")

    def note(self, names: Iterable[str]) -> None:
        with store_errors():
            self._note.run(self._client, [QUEUES_MAX, *names])

    def all(self) -> tuple[str, ...]:
        with store_errors():
            names = cast("list[bytes]", self._client.zrevrange(self._keys.QUEUES, 0, -1))
        return tuple(map(text, names))
