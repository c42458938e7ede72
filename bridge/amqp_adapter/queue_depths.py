"""``RabbitQueueDepths``: how long each queue of RabbitMQ is, and how old what waits there, if the accounting knows."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice

from bridge.amqp_adapter.queue_inspection import read_depths
from bridge.messages.queue_state import QueueState, age_s
from bridge.redis_adapter import Ledger
from bridge.settings import ServerSettings

SAMPLE = 1_000
"""Messages on their way that are looked at for the oldest one: RabbitMQ shows none without taking it."""


class RabbitQueueDepths:
    """A ``QueueReader``; the ledger knows where messages were put, and when."""

    def __init__(self, settings: ServerSettings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger

    def names(self, keys_max: int) -> frozenset[str]:  # noqa: ARG002  (there are no keys)
        """As ``QueueReader``."""
        # Only its own management tells which queues RabbitMQ has.
        return frozenset(message.queue for message in islice(self._ledger.summaries(), SAMPLE))

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        """As ``QueueReader``."""
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
        """As ``QueueReader``: RabbitMQ does not say."""
        return None
