"""``Store``: everything that is kept and reported, and the broker's queues, as the ports that operations work with."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from bridge.messages.queue_item import QueuedMessage, QueueState
from bridge.model.accounting import Balance, Recent
from bridge.model.errors import StoreError
from bridge.model.plain_text import echoed, one_line
from bridge.model.registry import Registry
from bridge.ports.events import Publications
from bridge.ports.failed_events import DeadLetters, KeptEvents, OperationsLog, RetryQueue
from bridge.ports.redrives import RedriveJobs
from bridge.ports.rights import RightsRecord
from bridge.ports.work import Accounting, Clock, Queue
from bridge.runtime.reports import GatewayStates, KnownWorker, ProducerReport, Reported, WorkerReport


@dataclass(frozen=True, kw_only=True, slots=True)
class WrongKey:
    """A key of the bridge under which, or in a field of which, something else is kept."""

    name: str
    holds: str  # what is there, in words
    wants: str  # what should be
    spared: bool = False  # whether events flow all the same
    field: str | None = None  # in which it is; None where it is the whole key
    until: str = "you delete the field (HDEL)"  # what ends it, where it is in a field

    @property
    def sentence(self) -> str:
        """What is the matter, and what to do."""
        if self.field is not None:
            return (
                f"The key {one_line(self.name)} holds {self.holds} in its field {echoed(self.field)} and must hold a "
                f"{self.wants} there: somebody else writes to this database. Until {self.until}, it is left out."
            )
        then = "what the bridge keeps there is not written and not shown" if self.spared else "events wait for it"
        return (
            f"The key {one_line(self.name)} holds a {self.holds} and must hold a {self.wants}: somebody else writes to "
            f"this database. Move it away (RENAME) or delete it; until then {then}."
        )


class BrokerQueues(Protocol):
    """The queues of one broker, looked at without taking anything; each method raises BrokerError where it is away."""

    def find(self, *, thorough: bool = False) -> frozenset[str]:
        """Queues of ours that are on the broker, as far as it tells: what this look or an earlier one has met.

        Args:
            thorough: look everywhere, however long it takes; otherwise go on a little where the last look ended.
        """

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        """The queues ``names``, in that order, and how many messages workers have claimed; None if it is not known.

        Args:
            names: of queues that there may be; one that is not is empty.
            now_ms: the time by which ages are told, in milliseconds since the epoch.
        """

    def wrong_keys(self, names: Sequence[str]) -> Sequence[WrongKey]:
        """Keys of the broker, and of the queues ``names``, under which something else is kept; empty: all is well."""

    def claimed(self) -> Counter[str] | None:
        """How many messages of each queue workers have claimed; None if the broker does not say."""

    def messages(self, queues: Sequence[str]) -> Iterator[QueuedMessage] | None:
        """What stands on ``queues``, then what workers have claimed; None if the broker shows none without taking it.

        In this order, so that a message which is claimed meanwhile is seen; one that is given back meanwhile may be
        missed, and others may be seen twice.
        """

    def move(self, source: str, target: str) -> Iterator[tuple[int, int]]:
        """Move what stands on ``source`` now to the end of ``target``, portion by portion, and account for it there.

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


class WorkerReports(Protocol):
    """What workers say of themselves every few seconds."""

    def beat(self, name: str, report: WorkerReport, *, sweep: bool = False) -> None:
        """Keep a report in place of the worker's last one; with ``sweep``, forget those that were silent for a day."""

    def leave(self, name: str) -> None:
        """A worker stops, as it should. Idempotent."""

    def known(self) -> Sequence[KnownWorker]:
        """Every worker that has not said good-bye, by name. What cannot be read is left out."""


class ProducerReports(Protocol):
    """What producers say of themselves; within bounds, and the newest are kept."""

    def keep(self, producer: str, report: ProducerReport | None) -> None:
        """Keep a report in place of the producer's last one; None withdraws that. Idempotent."""

    def all(self) -> Sequence[Reported]:
        """Every report, the oldest first. What cannot be read is left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the store tells of itself."""

    at_ms: int  # Redis time
    retry_next_ms: float | None  # when the next retry is due, in ms of Redis time; None if none waits
    dead_oldest_ms: float | None  # when the oldest dead letter was written; None if there is none
    dead_newest_ms: float | None  # the newest
    letters: int  # dead letters; one may hold several events
    letters_bytes: int  # what they take, as JSON
    metrics: Mapping[str, int]  # what happened by event type, and buckets of histograms
    gateways: GatewayStates  # the processes of the gateway together
    recent: Recent  # how events ended in the last minute or so, but for what was redriven or discarded since
    balance: Balance  # the accounting
    withdrawn: int = 0  # users and sessions in the record of disconnects
    withdrawn_newest_ms: float | None = None  # when the last of them was disconnected; None if there is none
    wrong_keys: tuple[WrongKey, ...] = ()  # that the rest is told without
    clock_behind_s: float = 0.0  # how far Redis' clock is behind the newest position; 0 if it is not


class Overview(Protocol):
    """The store's figures as operators watch them, in the same few round trips however much is stored."""

    def read(self) -> Figures:
        """The present figures."""

    def wrong_keys(self) -> Sequence[WrongKey]:
        """Keys of the store under which something else is kept."""

    def write_refusal(self) -> StoreError | None:
        """Why the store takes no writes; None if it takes them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """One port for each thing that is kept, and the broker's queues. Opens no connection before its first use."""

    clock: Clock
    accounting: Accounting
    dead_letters: DeadLetters
    retries: RetryQueue
    kept: KeptEvents
    redrives: RedriveJobs
    published: Publications
    overview: Overview
    log: OperationsLog
    rights: RightsRecord
    workers: WorkerReports
    producers: ProducerReports
    queues: BrokerQueues
    queue_names: QueueNames
    # Opens a connection to the broker of the caller's own, to be closed by the caller.
    open_queue: Callable[[Registry], Queue]
    close: Callable[[], None]  # drops the connections. Idempotent; the next use opens others.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
