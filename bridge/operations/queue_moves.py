"""``QueueMover``: puts what stands on one queue onto another, as after a category was renamed."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from bridge.amqp_adapter.properties import guard_amqp
from bridge.amqp_adapter.queue_inspection import open_rabbitmq
from bridge.amqp_adapter.queues import queue
from bridge.messages import BOOKED_HEADER
from bridge.model.errors import OperationRefusedError
from bridge.redis_adapter import LogEntry, Store
from bridge.redis_adapter.client import keyspace_of, store_errors
from bridge.redis_adapter.queue_discovery import priority_lists
from bridge.redis_adapter.queue_inspection import open_redis
from bridge.redis_adapter.script import Call, script
from bridge.runtime.identity import who_am_i
from bridge.settings import Settings
from bridge.settings.topology import topology

PORTION = 50
"""Messages that one script call moves; each may have 256 KiB, and Redis reads each once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """What came of a move.

    Attributes:
        messages: that were moved.
        left: that stand on the queue still: they came meanwhile.
    """

    messages: int
    left: int


class QueueMover:
    """Moves messages on Redis one by one, each in one step; on RabbitMQ each is taken when the other queue has it.

    Args:
        store: stays yours to close.
        settings: of the bridge.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._client = store.client
        self._settings = settings
        self._open_key = keyspace_of(store.client).OPEN
        self._script = script("requeue")

    def move(self, source: str, target: str, *, who: str = "", reason: str = "") -> Moved:
        """Move what stands on a queue now; what workers have of it comes back there when they give it up.

        Order is kept, behind what stands on the other queue. Killed at any moment, nothing is lost; on RabbitMQ one
        message may then be on both, which does no harm. It is written into the log of operations.

        Raises:
            OperationRefusedError: it is the same queue.
            BrokerError: the broker is away or refuses; what was moved stays moved.
            StoreError: the books are away or refuse; the same.
        """
        if source == target:
            raise OperationRefusedError(f"{source} is the same queue.")
        moving = (
            self._on_redis(source, target) if topology(self._settings).on_redis else self._on_rabbitmq(source, target)
        )
        moved = left = 0
        try:
            for moved, left in moving:  # noqa: B007  (the last says it all)
                pass
        finally:
            if moved:
                entry = LogEntry(
                    who=who or who_am_i(),
                    action="queues.move",
                    selection=f"{source} to {target}",
                    numbers={"messages": moved},
                    reason=reason,
                )
                self._store.log.append(entry)
        return Moved(messages=moved, left=left)

    # Redis

    def _on_redis(self, source: str, target: str) -> Iterator[tuple[int, int]]:
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

    def _move_portion(
        self, broker: redis.Redis, source_key: str, target_key: str, target: str, items: Sequence[bytes]
    ) -> int:
        pairs = [
            word for item in items for word in (hashlib.sha1(item, usedforsecurity=False).hexdigest(), book_id_of(item))
        ]
        keys = {"open": self._open_key, "source": source_key, "target": target_key}
        moved = int(self._script.run(broker, [target, *pairs], **keys))
        if moved and not topology(self._settings).one_server:
            self._rename(target, pairs[: 2 * moved])
        return moved

    def _rename(self, target: str, pairs: Sequence[str]) -> None:
        with store_errors():
            self._script.send(self._client, Call([self._open_key], [target, *pairs]))

    # RabbitMQ

    def _on_rabbitmq(self, source: str, target: str) -> Iterator[tuple[int, int]]:
        moved = 0
        guard_amqp()
        with open_rabbitmq(self._settings) as connection:
            channel = connection.channel()
            queue(self._settings, target).bind(channel).declare()
            waiting = channel.queue_declare(source, passive=True).message_count
            for _ in range(waiting):
                message = channel.basic_get(source)
                if message is None:
                    break
                headers: dict[str, Any] = message.properties.get("application_headers") or {}
                for counted in ("x-delivery-count", "x-acquired-count"):
                    headers.pop(counted, None)
                channel.basic_publish(message, exchange="", routing_key=target)  # waits for the confirm
                channel.basic_ack(message.delivery_tag)
                moved += 1
                self._rename(target, ("", _book_id(headers)))
                yield moved, 0
            left = channel.queue_declare(source, passive=True).message_count
        yield moved, left


def book_id_of(item: bytes) -> str:
    """The message under which the events of a queue's item are in the books; empty if it does not say."""
    try:
        headers = json.loads(item)["headers"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return _book_id(headers) if isinstance(headers, dict) else ""


def _book_id(headers: dict[str, Any]) -> str:
    found = headers.get(BOOKED_HEADER) or headers.get("id")
    return found if isinstance(found, str) else ""
