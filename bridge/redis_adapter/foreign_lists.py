"""``ForeignLists``: what producers that are not ours leave on a Redis broker where no worker of the bridge looks."""

from collections.abc import Sequence
from contextlib import ExitStack

import redis

from bridge.redis_adapter.queue_discovery import KEYS_A_STEP, QueueFinder, priority_lists
from bridge.redis_adapter.queue_inspection import open_redis
from bridge.redis_adapter.script import script
from bridge.settings import QueueSettings

MERGE_MAX = 1_000
"""Messages that one look takes from the priority lists of a queue: Redis needs about 1 µs for each."""


class ForeignLists:
    """``bridge.ports.ForeignQueues`` on Redis: one connection, opened at the first look and again after trouble."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._prefix = settings.queue_prefix
        self._finder = QueueFinder(self._prefix)
        self._script = script("merge")
        self._open = ExitStack()
        self._client: redis.Redis | None = None

    def merge_priorities(self, queues: Sequence[str]) -> dict[str, int]:
        moved = {}
        try:
            client = self._connected()
            with client.pipeline(transaction=False) as pipeline:
                for queue in queues:
                    pipeline.exists(*self._keys(queue))
                some = pipeline.execute()
            for queue, lists in zip(queues, some, strict=True):
                if lists:
                    moved[queue] = self._script.run(client, [MERGE_MAX], self._keys(queue), queue=self._prefix + queue)
        except BaseException as error:
            self._drop(error)
            raise
        return moved

    def find(self) -> frozenset[str]:
        try:
            self._finder.look(self._connected(), KEYS_A_STEP)
        except BaseException as error:
            self._drop(error)
            raise
        return self._finder.found

    def close(self) -> None:
        self._client = None
        self._open.close()

    def _keys(self, queue: str) -> list[str]:
        return [self._prefix + place for place in priority_lists(queue)]

    def _connected(self) -> redis.Redis:
        if self._client is None:
            self._client = self._open.enter_context(open_redis(self._settings))
        return self._client

    def _drop(self, error: BaseException) -> None:
        """Close; whoever opened the connection turns the error into one of the bridge."""
        self._client = None
        self._open.__exit__(type(error), error, error.__traceback__)
