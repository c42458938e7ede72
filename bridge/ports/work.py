"""Ports of a worker's work: clock, queue, accounting, numbers; and all that it needs in one value."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from bridge.messages.task_message import TaskMessage
from bridge.model.accounting import Balance, OpenMessage, Summary
from bridge.ports.events import Publisher
from bridge.ports.failed_events import DeadLetters, RetryQueue


class Clock(Protocol):
    """What time it is for everybody, so that a machine whose own clock is wrong writes no wrong time down."""

    def now_s(self) -> float:
        """Seconds since the epoch."""

    def now(self) -> datetime:
        """The same as a UTC time."""

    def now_ms(self) -> int:
        """The same in whole milliseconds, and asked for now: never from an answer of some seconds ago."""


class Queue(Protocol):
    """The way to the broker's queues. Messages of one queue keep their order. Not thread-safe."""

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """Put ``messages`` on their queues, in order, account for them, and wait until the broker has them.

        At-least-once: sent again, a message may be on its queue twice, and is accounted for once.

        Raises:
            BrokerError: not all of them were confirmed; some may have been taken, unless it is ``undone``: send all
                again.
        """

    def insist_on_room(self) -> None:
        """Ask before messages are taken from elsewhere to be sent; free unless the broker refused the last ones.

        Raises:
            BrokerUnavailableError: the broker is known to take none.
        """

    def prepare(self) -> None:
        """Import all that sending and its troubles need, on the caller's thread; connects to nothing.

        A process that forks while a thread imports leaves half-made modules and locked import locks in the child, which
        then waits forever. So each import that is made at first use, ours or a library's, is made here; a test watches
        that none is left for a thread.
        """

    def close(self) -> None:
        """Drop the connection; ``send`` opens another. Idempotent, and never raises on a dead connection."""


class Accounting(Protocol):
    """Which accepted events are on their way, message by message. Each leaves in the step that ends it."""

    def book(self, message_id: str, task: str, queue: str, event_ids: Sequence[UUID]) -> None:
        """Enter a message that its producer did not announce. Idempotent by message id."""

    def unfinished(self, message_id: str, event_ids: Collection[str]) -> frozenset[str]:
        """Which of a message's events are on their way: neither ended, nor waiting, nor dead."""

    def get(self, message_ids: Sequence[str]) -> list[OpenMessage]:
        """The messages of which something is in flight."""

    def holding(self, event_id: UUID) -> list[OpenMessage]:
        """The messages on their way that hold an event; looks through all of them."""

    def summaries(self) -> Iterator[Summary]:
        """Every message on its way, in no order; one that comes or goes meanwhile may be missed or seen twice."""

    def write_off(self, messages: Sequence[OpenMessage], *, who: str, reason: str) -> int:
        """End events that will not be found, with an entry in the log of operations; all of one call in one step.

        Args:
            messages: with the events to end; without any, what was forgotten when the store was set back is written
                off.
            who: does it.
            reason: why.

        Returns:
            How many events; those that had ended meanwhile are left alone.
        """

    def balance(self) -> Balance:
        """Where the accepted events are, at one moment."""


class StartCounts(Protocol):
    """How often messages were started whose workers died; a message that never came back costs nothing."""

    def add(self, message_id: str) -> int:
        """Count one start; returns how many there were. Not idempotent."""

    def take_back(self, message_id: str) -> None:
        """Count one start less: its worker did not die. Not idempotent."""

    def forget(self, message_id: str) -> None:
        """The message is done. Idempotent."""


class Metrics(Protocol):
    """Numbers that grow, by name."""

    def add(self, grown: Sequence[tuple[str, int]]) -> None:
        """Let numbers grow, each by so much. Not idempotent."""


class MasterWatch(Protocol):
    """Whether what is done about a message is written to the server on which it was claimed.

    After a fail-over the two may differ for a while, and neither knows what the other was told: a message that was
    settled on one may not be acknowledged on the other.
    """

    def begin(self, claimed_on: str) -> Callable[[], bool]:
        """From now on, have it written there, as far as the master's name leads there.

        Args:
            claimed_on: name of the server, as the transport has it; empty if it is unknown.

        Returns:
            Says whether all that was written since went there, as far as is known.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerPorts:
    """What a worker needs to handle messages; nothing of it connects before its first use."""

    publisher: Publisher
    accounting: Accounting
    retries: RetryQueue
    dead_letters: DeadLetters
    starts: StartCounts
    metrics: Metrics
    clock: Clock
    master: MasterWatch
    open_queue: Callable[[], Queue]  # opens a connection to the broker of the caller's own, to be closed by the caller
