"""Puts what stands on a queue of a Redis broker onto another, and tells the accounting."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import cast

import redis

from bridge.messages.queue_item import peek
from bridge.redis_adapter.accounting import Ledger
from bridge.redis_adapter.queue_discovery import priority_lists
from bridge.redis_adapter.queue_inspection import open_redis
from bridge.redis_adapter.script import script
from bridge.settings import QueueSettings
from bridge.settings.topology import topology

PORTION = 50
"""Messages that one script call moves; each may have 256 KiB, and Redis reads each once."""


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
