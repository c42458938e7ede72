"""The bridge's queues on a Redis broker, found by their names, also what no worker of the bridge would look at."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import redis

from bridge.model.bounds import QUEUE_NAME_CHARS_MAX, QUEUES_FOUND_MAX
from bridge.model.errors import as_broker_error
from bridge.model.registry.metadata import QUEUE_PREFIX
from bridge.redis_adapter.client import connect_broker
from bridge.redis_adapter.errors import REDIS_TROUBLES, store_error
from bridge.redis_adapter.script import script
from bridge.settings import QueueSettings

PRIORITY_MARK = "\x06\x16"
"""Between a queue's name and a priority: kombu keeps a list for each of some priorities, and workers of the bridge
read only the list that has none."""
PRIORITIES = range(1, 10)
KEYS_A_STEP = 1_000
CLAIMED_A_STEP = 500
MERGE_MAX = 1_000
"""Messages that one look takes from the priority lists of a queue: Redis needs about 1 µs for each."""


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


class ForeignLists:
    """``bridge.ports.ForeignQueues`` on Redis: one connection, opened at the first look and again after trouble."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._prefix = settings.queue_prefix
        self._finder = QueueFinder(self._prefix)
        self._open = ExitStack()
        self._client: redis.Redis | None = None

    def merge_priorities(self, queues: Sequence[str]) -> dict[str, int]:
        """One round trip says which queues have such lists; one script each moves up to MERGE_MAX."""
        moved = {}
        try:
            client = self._connected()
            with client.pipeline(transaction=False) as pipeline:
                for queue in queues:
                    pipeline.exists(*self._keys(queue))
                some = pipeline.execute()
            for queue, lists in zip(queues, some, strict=True):
                if lists:
                    moved[queue] = script("merge").run(
                        client, [MERGE_MAX], self._keys(queue), queue=self._prefix + queue
                    )
        except BaseException as error:
            self._drop(error)
            raise
        return moved

    def find(self) -> frozenset[str]:
        """A look of KEYS_A_STEP keys further than the one before."""
        try:
            self._finder.look(self._connected(), KEYS_A_STEP)
        except BaseException as error:
            self._drop(error)
            raise
        return self._finder.found

    def close(self) -> None:
        """Drop the connection; the next look opens another. Idempotent."""
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
