"""``Store``: everything that is kept, as the ports that operations work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from bridge.model.accounting import Balance, Recent
from bridge.model.errors import StoreError
from bridge.model.registry import Registry
from bridge.ports.broker import BrokerQueues, QueueNames
from bridge.ports.events import Publications
from bridge.ports.failed_events import DeadLetters, KeptEvents, OperationsLog, RetryQueue
from bridge.ports.redrives import RedriveJobs
from bridge.ports.reports import ProducerReports, WorkerReports
from bridge.ports.work import Accounting, Clock, Queue
from bridge.runtime.reports import GatewayStates


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


class Overview(Protocol):
    """The store's figures as operators watch them, in the same few round trips however much is stored."""

    def read(self) -> Figures:
        """The present figures."""

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
