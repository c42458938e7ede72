"""``RedisBrokerQueues``: the queues of a Redis broker: how long each is, how old what waits there, and what it is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from bridge.messages.queue_item import Peeked, QueuedMessage, QueueState, age_s, peek
from bridge.redis_adapter.accounting import Ledger
from bridge.redis_adapter.client import connect_broker
from bridge.redis_adapter.queue_discovery import PRIORITIES, QueueFinder, claimed_by_queue, priority_lists
from bridge.redis_adapter.queue_inspection import UNACKED_KEY, broker_errors, open_queues
from bridge.redis_adapter.queue_moves import move_messages
from bridge.settings import QueueSettings

CLAIMED_STEPS_MAX = 1_000
FIND_KEYS_MAX = 20_000
"""Keys of the broker among which one look searches for queues: it takes Redis about 10 ms, in steps of half a ms."""
ALL_KEYS_MAX = 5_000_000
"""Keys among which a thorough look does."""


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
        with broker_errors():
            self._finder.look(self._client, ALL_KEYS_MAX if thorough else FIND_KEYS_MAX)
        return self._finder.found

    def claimed(self) -> Counter[str] | None:
        with broker_errors():
            return claimed_by_queue(self._client, self._prefix + UNACKED_KEY, steps_max=CLAIMED_STEPS_MAX)

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        with broker_errors(), self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.exists(*(self._prefix + key for key in priority_lists(name)))
                pipeline.llen(self._prefix + name)
                pipeline.lindex(self._prefix + name, -1)
            pipeline.hlen(self._prefix + UNACKED_KEY)
            *answers, claimed = pipeline.execute()
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
        return states, claimed

    def messages(self, queues: Sequence[str]) -> Iterator[QueuedMessage]:
        with open_queues(self._settings) as broker:
            yield from broker.messages(queues)

    def move(self, source: str, target: str) -> Iterator[tuple[int, int]]:
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


def _made_ms(head: Peeked) -> int | None:
    """The time in a UUIDv7; of a moved retry, which is a message of its own, it is not when that was accepted."""
    try:
        identity = UUID(head.message_id)
    except ValueError:
        return None
    return identity.int >> 80 if identity.version == 7 and not head.is_again else None
