"""``RabbitBrokerQueues``: how long each queue of RabbitMQ is, and how old what waits there, if the accounting knows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from bridge.amqp_adapter.queue_inspection import read_depths
from bridge.amqp_adapter.queue_moves import move_messages
from bridge.messages.queue_item import QueueState, age_s
from bridge.redis_adapter import Ledger
from bridge.settings import ServerSettings

SAMPLE = 1_000
"""Messages on their way that are looked at for the oldest one: RabbitMQ shows none without taking it."""


class RabbitBrokerQueues:
    """``bridge.ports.BrokerQueues`` on RabbitMQ.

    Args:
        ledger: knows where messages were put, and when, and is told where they were moved.
    """

    def __init__(self, settings: ServerSettings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger

    def find(self, *, thorough: bool = False) -> frozenset[str]:  # noqa: ARG002  (there is one way to look)
        # Only its own management tells which queues RabbitMQ has.
        return frozenset(message.queue for message in islice(self._ledger.summaries(), SAMPLE))

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        depths = read_depths(self._settings, names)
        oldest: dict[str, int] = {}
        for message in islice(self._ledger.summaries(), SAMPLE):
            oldest[message.queue] = min(message.accepted_ms, oldest.get(message.queue, message.accepted_ms))
        return [
            QueueState(
                name=name, depth=depth.ready, oldest_age_s=age_s(oldest.get(name), now_ms) if depth.ready else None
            )
            for name, depth in depths.items()
        ], None

    def claimed(self) -> Counter[str] | None:
        return None

    def messages(self, queues: Sequence[str]) -> None:  # noqa: ARG002
        return None

    def move(self, source: str, target: str) -> Iterator[tuple[int, int]]:
        return move_messages(self._settings, source, target, lambda book_id: self._ledger.note_moved(target, [book_id]))
