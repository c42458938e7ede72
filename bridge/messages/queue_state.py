"""``QueueState`` and ``QueueReader``: what operators see of a broker's queues, whichever broker it is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueState:
    """One queue at one moment."""

    name: str  # ``bridge.<category>``
    depth: int  # messages that wait to be taken, also on the lists of priorities (Redis)
    # Since the one that is taken next was accepted; None if nothing waits, or the accounting does not know. On RabbitMQ
    # it is that of the oldest of up to 1,000 messages on their way, claimed or not.
    oldest_age_s: float | None
    registered: bool = True  # whether it is a queue of the registry
    task: str = ""  # Celery task of the message that is taken next; empty if unknown


class QueueReader(Protocol):
    """Reads the queues of one kind of broker; raises BrokerError or StoreError where that or the accounting is away."""

    def names(self, keys_max: int) -> frozenset[str]:
        """Queues of ours that are on the broker, as far as it tells; look by look, earlier looks included."""
        ...

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        """Every queue, and how many messages workers have claimed; None if the broker does not say."""
        ...

    def claimed(self) -> Counter[str] | None:
        """How many messages of each queue workers have claimed; None if the broker does not say."""
        ...


def age_s(since_ms: int | None, now_ms: int) -> float | None:
    """Seconds since then, 0 or more; None if it is unknown."""
    return None if since_ms is None else max(0.0, (now_ms - since_ms) / 1000)
