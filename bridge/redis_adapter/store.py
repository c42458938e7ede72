"""``Store``: everything that is kept in one Redis, as the adapters that operations work with."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import redis

from bridge.redis_adapter.clock import StoreClock
from bridge.redis_adapter.dead_letters import DeadLetters
from bridge.redis_adapter.kept_events import KeptEvents
from bridge.redis_adapter.ledger import Ledger
from bridge.redis_adapter.operations_log import OperationsLog
from bridge.redis_adapter.producers import Producers
from bridge.redis_adapter.published_events import PublishedEvents
from bridge.redis_adapter.queue_moves import QueueMoves
from bridge.redis_adapter.queue_names import QueueNames
from bridge.redis_adapter.redrive_jobs import RedriveJobs
from bridge.redis_adapter.retry_queue import RetrySet
from bridge.redis_adapter.store_overview import StoreOverview
from bridge.redis_adapter.workers import Workers
from bridge.settings import AccountingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """One adapter for each thing that is kept, over one connection pool. Opens no connection before its first use."""

    close: Callable[[], None]  # drops the connections. Idempotent; the next use opens others.
    clock: StoreClock
    dead_letters: DeadLetters
    retries: RetrySet
    redrives: RedriveJobs
    ledger: Ledger
    published: PublishedEvents
    kept: KeptEvents
    overview: StoreOverview
    log: OperationsLog
    workers: Workers
    producers: Producers
    queue_names: QueueNames
    queue_moves: QueueMoves

    @classmethod
    def of(cls, client: redis.Redis, settings: AccountingSettings) -> Self:
        """The store behind a client, which is closed with it."""
        return cls(
            close=client.close,
            clock=StoreClock(client),
            dead_letters=DeadLetters(client, settings),
            retries=RetrySet(client, settings),
            redrives=RedriveJobs(client, settings),
            ledger=Ledger(client, settings),
            published=PublishedEvents(client, settings),
            kept=KeptEvents(client),
            overview=StoreOverview(client),
            log=OperationsLog(client),
            workers=Workers(client),
            producers=Producers(client),
            queue_names=QueueNames(client),
            queue_moves=QueueMoves(client, settings),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
