"""Which queues the accounting knows: a registry that is changed forgets a queue, and events may still be on it."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, cast

import redis

from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import script

QUEUES_MAX = 1_000
"""Names that are remembered; the ones not named for longest fall off."""
RETRIES_LOOK_MAX = 1_000
"""Waiting retries that one script call looks at."""


class WaitingFor(NamedTuple):
    """How many retries wait for a task on a queue."""

    task: str
    queue: str
    retries: int


class QueueNames:
    """Remembers and lists them."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._note = script("note_queues")
        self._retries = script("retry_queues")

    def note(self, names: Iterable[str]) -> None:
        """Remember queues that a process uses or has found. Idempotent."""
        with store_errors():
            self._note.run(self._client, [QUEUES_MAX, *names])

    def all(self) -> tuple[str, ...]:
        """Every queue that was ever named, the newest first."""
        with store_errors():
            names = cast("list[bytes]", self._client.zrevrange(self._keys.QUEUES, 0, -1))
        return tuple(map(text, names))

    def retries(self, *, looks_max: int = 1) -> tuple[WaitingFor, ...]:
        """What waits for which task on which queue, of those that are due next: RETRIES_LOOK_MAX a look."""
        found: Counter[tuple[str, str]] = Counter()
        for look in range(looks_max):
            with store_errors():
                seen, *kinds = self._retries.run(
                    self._client,
                    [look * RETRIES_LOOK_MAX, RETRIES_LOOK_MAX],
                )
            for task, queue, number in zip(kinds[::3], kinds[1::3], kinds[2::3], strict=True):
                found[text(task), text(queue)] += number
            if seen < RETRIES_LOOK_MAX:
                break
        return tuple(WaitingFor(*kind, number) for kind, number in found.most_common())
