"""Ports of a worker's work: clock, queue, accounting, reports; and all that it needs in one value."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from bridge.messages.task_message import TaskMessage
from bridge.model.accounting import OpenMessage
from bridge.ports.events import Publisher
from bridge.ports.failed_events import DeadLetters, RetryQueue


class Clock(Protocol):
    """What time it is for everybody, so that a machine whose own clock is wrong writes no wrong time down."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        ...

    def now(self) -> datetime:
        """The same as a UTC time."""
        ...


class Queue(Protocol):
    """The way to the broker's queues. Messages of one queue keep their order. Not thread-safe."""

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """Put messages on their queues, in order, account for them, and wait until the broker has them.

        At-least-once: sent again, a message may be on its queue twice, and is accounted for once.

        Raises:
            BrokerError: not all of them were confirmed; some may have been taken: send all again.
        """
        ...

    def insist_on_room(self) -> None:
        """Ask before messages are taken from elsewhere to be sent; free unless the broker refused the last ones.

        Raises:
            BrokerUnavailableError: the broker is known to take none.
        """
        ...

    def prepare(self) -> None:
        """Import all that sending and its troubles need, on the caller's thread; connects to nothing.

        A process that forks while a thread imports leaves half-made modules and locked import locks in the child, which
        then waits forever. So each import that is made at first use, ours or a library's, is made here; a test watches
        that none is left for a thread.
        """
        ...

    def close(self) -> None:
        """Drop the connection; ``send`` opens another. Idempotent, and never raises on a dead connection."""
        ...


class Accounting(Protocol):
    """Which accepted events are on their way, message by message. Each leaves in the step that ends it."""

    def book(self, message_id: str, task: str, queue: str, event_ids: Sequence[UUID]) -> None:
        """Enter a message that its producer did not announce. Idempotent by message id."""
        ...

    def unfinished(self, message_id: str, event_ids: Collection[str]) -> frozenset[str]:
        """Which of a message's events are on their way: neither ended, nor waiting, nor dead."""
        ...

    def get(self, message_ids: Sequence[str]) -> list[OpenMessage]:
        """The messages of which something is in flight."""
        ...

    def holding(self, event_id: UUID) -> list[OpenMessage]:
        """The messages on their way that hold an event; looks through all of them."""
        ...


class StartCounts(Protocol):
    """How often messages were started whose workers died; a message that never came back costs nothing."""

    def add(self, message_id: str) -> int:
        """Count one start; returns how many there were. Not idempotent."""
        ...

    def take_back(self, message_id: str) -> None:
        """Count one start less: its worker did not die. Not idempotent."""
        ...

    def forget(self, message_id: str) -> None:
        """The message is done. Idempotent."""
        ...


class Metrics(Protocol):
    """Numbers that grow, by name."""

    def add(self, grown: Sequence[tuple[str, int]]) -> None:
        """Let numbers grow, each by so much. Not idempotent."""
        ...


class ConsumerReport(Protocol):
    """What a worker says of itself, as far as others go by it."""

    @property
    def catalog(self) -> str:
        """Identity of its registry."""
        ...

    @property
    def queues(self) -> tuple[str, ...]:
        """Which it consumes."""
        ...


class Consumer(Protocol):
    """A worker that was heard."""

    @property
    def process(self) -> str:
        """Its name."""
        ...

    @property
    def heard_ms(self) -> int:
        """When it was heard last, in ms of the store's time."""
        ...

    @property
    def report(self) -> ConsumerReport:
        """What it said."""
        ...


class WorkerReports(Protocol):
    """What workers say of themselves."""

    def known(self) -> Sequence[Consumer]:
        """Every worker that has not said good-bye."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerPorts:
    """What a worker needs to handle messages; nothing of it connects before its first use.

    Attributes:
        open_queue: opens a connection to the broker of the caller's own, to be closed by the caller.
    """

    publisher: Publisher
    accounting: Accounting
    retries: RetryQueue
    dead_letters: DeadLetters
    starts: StartCounts
    metrics: Metrics
    clock: Clock
    open_queue: Callable[[], Queue]
