"""``RedisBrokerQueues``: how long each queue of a Redis broker is, how old and what is on it, read and moved."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, cast
from uuid import UUID

import redis

from bridge.messages.queue_item import Peeked, QueuedMessage, QueueState, age_s, peek, peek_claim
from bridge.ports.store import WrongKey
from bridge.redis_adapter.accounting import Ledger, wrong_keys
from bridge.redis_adapter.client import connect_broker
from bridge.redis_adapter.queue_discovery import (
    PRIORITIES,
    QueueFinder,
    broker_errors,
    claimed_by_queue,
    open_redis,
    priority_lists,
)
from bridge.redis_adapter.script import script
from bridge.settings import QueueSettings
from bridge.settings.topology import topology

UNACKED_KEY = "unacked"
"""kombu's hash of the messages that workers have claimed …"""
CLAIMED_BESIDE = "unacked.bridge"
"""… and that of workers of a team's own app, beside which kombu's is the app's."""
CLAIMED_KEYS = (UNACKED_KEY, CLAIMED_BESIDE)
CHUNK_FIRST = 50
CHUNK_MAX = 2000
CHUNK_BYTES = 2_000_000
"""About how much of a queue is held in memory at once."""
CLAIMED_CHUNK = 100
CLAIMED_STEPS_MAX = 1_000
FIND_KEYS_MAX = 20_000
"""Keys of the broker among which one look searches for queues: it takes Redis about 10 ms, in steps of half a ms."""
ALL_KEYS_MAX = 5_000_000
"""Keys among which a thorough look does."""
PORTION = 50
"""Messages that one script call moves; each may have 256 KiB, and Redis reads each once."""


class RedisBrokerQueues:
    """``bridge.ports.BrokerQueues`` on Redis. Opens no connection before its first use; figures give up soon.

    Args:
        ledger: knows when a message was accepted, and is told where it was moved.
    """

    def __init__(self, settings: QueueSettings, ledger: Ledger) -> None:
        self._client = connect_broker(settings, briefly=True)
        self._settings = settings
        self._prefix = settings.queue_prefix
        self._ledger = ledger
        self._finder = QueueFinder(self._prefix)

    def find(self, *, thorough: bool = False) -> frozenset[str]:
        """A look of FIND_KEYS_MAX keys further than the one before; thorough: of ALL_KEYS_MAX."""
        with broker_errors():
            self._finder.look(self._client, ALL_KEYS_MAX if thorough else FIND_KEYS_MAX)
        return self._finder.found

    def wrong_keys(self, names: Sequence[str]) -> tuple[WrongKey, ...]:
        kinds = {"bridge:deliveries": "hash"}
        for key in CLAIMED_KEYS:
            kinds |= {key: "hash", f"{key}_index": "zset"}
        kinds |= dict.fromkeys(names, "list")
        with broker_errors():
            return wrong_keys(self._client, {self._prefix + key: kind for key, kind in kinds.items()})

    def claimed(self) -> Counter[str] | None:
        """Counted by a script that leaves the messages in Redis, in up to CLAIMED_STEPS_MAX calls."""
        keys = [self._prefix + key for key in CLAIMED_KEYS]
        with broker_errors():
            return sum((claimed_by_queue(self._client, key, steps_max=CLAIMED_STEPS_MAX) for key in keys), Counter())

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        """One round trip, one for queues with priority lists, and one to the accounting for the ages."""
        with broker_errors(), self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.exists(*(self._prefix + key for key in priority_lists(name)))
                pipeline.llen(self._prefix + name)
                pipeline.lindex(self._prefix + name, -1)
            for key in CLAIMED_KEYS:
                pipeline.hlen(self._prefix + key)
            *answers, claimed, beside = pipeline.execute()
            apart = [name for name, some in zip(names, answers[::3], strict=True) if some]
            more = self._on_priority_lists(pipeline, apart)
        heads = [
            peek(item or more.get(name, (0, None))[1] or b"") or Peeked()
            for name, item in zip(names, answers[2::3], strict=True)
        ]
        accepted = self._accepted_ms([head.book_id for head in heads])
        states = [
            QueueState(
                name=name,
                depth=depth + more.get(name, (0, None))[0],
                oldest_age_s=age_s(accepted.get(head.book_id, _made_ms(head)), now_ms),
                task=head.task,
            )
            for name, depth, head in zip(names, answers[1::3], heads, strict=True)
        ]
        return states, claimed + beside

    def messages(self, queues: Sequence[str]) -> Iterator[QueuedMessage]:
        """As the port; in kombu's format, and what is no message is passed over."""
        with open_redis(self._settings) as client:
            for name in queues:
                yield from _standing(client, self._prefix + name)
            for key in CLAIMED_KEYS:
                yield from _claimed(client, self._prefix + key)

    def move(self, source: str, target: str) -> Iterator[tuple[int, int]]:
        """A script call for each PORTION of messages, over a connection of its own."""
        return move_messages(self._settings, self._ledger, source, target)

    def _on_priority_lists(self, pipeline: Any, names: Sequence[str]) -> dict[str, tuple[int, bytes | None]]:
        """How much is on the priority lists of a queue, and what is taken next there."""
        for name in names:
            for key in priority_lists(name):
                pipeline.llen(self._prefix + key)
                pipeline.lindex(self._prefix + key, -1)
        answers = pipeline.execute()
        width = 2 * len(PRIORITIES)
        found = {}
        for name, start in zip(names, range(0, len(answers), width), strict=True):
            part = answers[start : start + width]
            found[name] = sum(part[::2]), next((item for item in part[1::2] if item), None)
        return found

    def _accepted_ms(self, message_ids: Sequence[str]) -> dict[str, int]:
        found = self._ledger.get([message_id for message_id in message_ids if message_id])
        return {message.message_id: message.accepted_ms for message in found}


def is_there(settings: QueueSettings, queue: str) -> bool:
    """Whether anything stands on a queue of a Redis broker, also on its priority lists.

    Raises:
        BrokerError: the broker is away or refuses.
    """
    with open_redis(settings) as client:
        return bool(client.exists(*(settings.queue_prefix + place for place in (queue, *priority_lists(queue)))))


def _standing(client: redis.Redis, queue: str) -> Iterator[QueuedMessage]:
    # From the head, where producers push: what is pushed meanwhile moves the rest on, and never hides it.
    start, count = 0, CHUNK_FIRST
    while True:
        items = cast("list[bytes]", client.lrange(queue, start, start + count - 1))
        for item in items:
            message = _message(peek(item), claimed=False)
            if message is not None:
                yield message
        if len(items) < count:
            return
        start += count
        average_bytes = max(1, sum(map(len, items)) // len(items))
        count = min(CHUNK_MAX, max(1, CHUNK_BYTES // average_bytes))


def _claimed(client: redis.Redis, unacked: str) -> Iterator[QueuedMessage]:
    cursor = 0
    while True:
        answer = client.hscan(unacked, cursor, count=CLAIMED_CHUNK)
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


def _made_ms(head: Peeked) -> int | None:
    """The time in a UUIDv7; of a moved retry, which is a message of its own, it is not when that was accepted."""
    try:
        identity = UUID(head.message_id)
    except ValueError:
        return None
    return identity.int >> 80 if identity.version == 7 and not head.is_again else None


def move_messages(settings: QueueSettings, ledger: Ledger, source: str, target: str) -> Iterator[tuple[int, int]]:
    """As ``bridge.ports.BrokerQueues.move``, also what stands on the priority lists of the queue."""
    prefix, moved = settings.queue_prefix, 0
    with open_redis(settings) as broker:
        for place in (source, *priority_lists(source)):
            waiting = broker.llen(prefix + place)
            while waiting > 0:
                items = cast("list[bytes]", broker.lrange(prefix + place, -min(PORTION, waiting), -1))[::-1]
                if not items:
                    break
                keys = {"open": ledger.open_key, "source": prefix + place, "target": prefix + target}
                number, book_ids = _move_portion(broker, keys, target, items)
                if number and not topology(settings).one_server:
                    ledger.note_moved(target, book_ids[:number])
                moved, waiting = moved + number, waiting - max(number, 1)
                yield moved, 0
        left = sum(broker.llen(prefix + place) for place in (source, *priority_lists(source)))
    yield moved, left


def _move_portion(
    broker: redis.Redis, keys: dict[str, str], target: str, items: Sequence[bytes]
) -> tuple[int, list[str]]:
    """How many items were moved, and the ids that all have in the accounting."""
    book_ids = [book_id_of(item) for item in items]
    hashes = (hashlib.sha1(item, usedforsecurity=False).hexdigest() for item in items)
    pairs = [word for pair in zip(hashes, book_ids, strict=True) for word in pair]
    return int(script("requeue").run(broker, [target, *pairs], **keys)), book_ids


def book_id_of(item: bytes) -> str:
    """The message under which the events of a queue's item are in the accounting; empty if it does not say."""
    peeked = peek(item)
    return peeked.book_id if peeked else ""
