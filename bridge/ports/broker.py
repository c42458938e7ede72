"""Ports of the broker's queues as operators see them, and of the names that queues have had."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from bridge.messages.queue_item import QueuedMessage, QueueState


class BrokerQueues(Protocol):
    """The queues of one broker, looked at without taking anything; each method raises BrokerError where it is away."""

    def find(self, *, thorough: bool = False) -> frozenset[str]:
        """Queues of ours that are on the broker, as far as it tells: what this look or an earlier one has met.

        Args:
            thorough: look everywhere, however long it takes; otherwise go on a little where the last look ended.
        """

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        """Every queue, and how many messages workers have claimed; None if the broker does not say."""

    def claimed(self) -> Counter[str] | None:
        """How many messages of each queue workers have claimed; None if the broker does not say."""

    def messages(self, queues: Sequence[str]) -> Iterator[QueuedMessage] | None:
        """What stands on the queues, then what workers have claimed; None if the broker shows none without taking it.

        In this order, so that a message which is claimed meanwhile is seen; one that is given back meanwhile may be
        missed, and others may be seen twice.
        """

    def move(self, source: str, target: str) -> Iterator[tuple[int, int]]:
        """Move what stands on a queue now to the end of another, portion by portion, and account for it there.

        Killed at any moment, nothing is lost; what was moved stays moved. A message may then be on both queues where
        the broker is not the store.

        Returns:
            How many were moved so far, and, at last, how many stand there still, which came meanwhile.
        """


class ForeignQueues(Protocol):
    """What producers that are not ours leave on the broker where no worker of the bridge looks. Not thread-safe."""

    def merge_priorities(self, queues: Sequence[str]) -> dict[str, int]:
        """Put messages with a priority where workers read, behind the others; how many, for each queue that had any."""

    def find(self) -> frozenset[str]:
        """Queues of ours that were met on the broker so far, after a little look further."""

    def close(self) -> None:
        """Drop the connection; the next look opens another. Idempotent."""


class QueueNames(Protocol):
    """Queues that any process has named: a registry that is changed forgets one, and events may still be on it."""

    def note(self, names: Iterable[str]) -> None:
        """Remember queues that a process uses or has found; the ones not named for longest fall off. Idempotent."""

    def all(self) -> Sequence[str]:
        """Every queue that is remembered, the newest first."""
