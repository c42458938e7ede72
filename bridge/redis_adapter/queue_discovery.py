"""Finding the bridge's queues on a Redis broker by their names, also those that no registry names."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import redis

from bridge.model.bounds import QUEUE_NAME_CHARS_MAX, QUEUES_FOUND_MAX
from bridge.model.registry.metadata import QUEUE_PREFIX
from bridge.redis_adapter.script import script

PRIORITY_MARK = "\x06\x16"
"""Between a queue's name and a priority: kombu keeps a list for each of some priorities, and workers of the bridge
read only the list that has none."""
PRIORITIES = range(1, 10)
KEYS_A_STEP = 1_000
CLAIMED_A_STEP = 500


def priority_lists(queue: str) -> list[str]:
    """The lists on which stock producers put messages of a queue that have a priority."""
    return [f"{queue}{PRIORITY_MARK}{priority}" for priority in PRIORITIES]


class QueueFinder:
    """Looks through the keys of a broker for lists named like our queues, portion by portion, again and again."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._cursor = 0
        self._found: dict[str, None] = {}

    @property
    def found(self) -> frozenset[str]:
        """The queues that were met since it began, whether anything is on them still or not."""
        return frozenset(self._found)

    def look(self, client: redis.Redis, keys_max: int) -> bool:
        """Look at so many keys more, and at some beyond; returns whether it came to the end of all keys.

        Raises:
            redis.RedisError: the broker is away or refuses.
        """
        for _ in range(0, keys_max, KEYS_A_STEP):
            answer: Any = client.scan(
                self._cursor, match=f"{self._prefix}{QUEUE_PREFIX}*", count=KEYS_A_STEP, _type="LIST"
            )
            self._cursor, keys = answer
            self._note(keys)
            if not self._cursor:
                return True
        return False

    def _note(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            try:
                name = key.decode().removeprefix(self._prefix).partition(PRIORITY_MARK)[0]
            except UnicodeDecodeError:
                continue  # no queue of kombu's
            if len(name) <= QUEUE_NAME_CHARS_MAX and len(self._found) < QUEUES_FOUND_MAX:
                self._found[name] = None


def claimed_by_queue(client: redis.Redis, unacked_key: str, *, steps_max: int) -> Counter[str]:
    """How many messages workers have from which queue, of up to so many steps of CLAIMED_A_STEP.

    Raises:
        redis.RedisError: the broker is away or refuses.
    """
    found: Counter[str] = Counter()
    cursor = b"0"
    for _ in range(steps_max):
        cursor, *kinds = script("claimed").run(client, [cursor, CLAIMED_A_STEP], unacked=unacked_key)
        for queue, number in zip(kinds[::2], kinds[1::2], strict=True):
            found[queue.decode("utf-8", "replace")] += number
        if cursor == b"0":
            break
    return found
