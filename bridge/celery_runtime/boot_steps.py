"""Celery boot steps: look at Redis once, move retries, report that the worker lives; in our own app, collect less."""

import gc
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from celery import bootsteps
from celery.worker import state

from bridge.celery_runtime.refusals import refusals
from bridge.celery_runtime.task import BridgeRequest
from bridge.model.errors import StoreError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.model.registry.identity import identity_of
from bridge.model.registry.metadata import TASK_PREFIX
from bridge.redis_adapter import (
    DeadLetters,
    ForeignLists,
    QueueNames,
    RetrySet,
    StoreClock,
    Tally,
    Workers,
    connect,
    connect_briefly,
    read_server,
    server_faults,
    server_warnings,
    watch_server,
)
from bridge.runtime.identity import release, team_release
from bridge.settings import WorkerSettings
from bridge.settings.topology import topology
from bridge.wiring import open_queue, open_store
from bridge.worker.foreign_producers import ForeignProducers
from bridge.worker.heartbeat import TURN_S, ClaimedWork, Heartbeat, LoopState
from bridge.worker.mover import RetryMover, Router
from bridge.worker.quarantine import Quarantine

logger = plain_logger(__name__)


class BoundStep(bootsteps.StartStopStep):
    """Starts after the pool, so that no pool process is forked from a running thread."""

    requires = ("celery.worker.components:Pool",)
    settings: ClassVar[WorkerSettings]
    registry: ClassVar[Registry]
    #: Which of a worker's attributes is the consumer of the bridge's queues.
    consumer: ClassVar[str] = "consumer"


class RetryMoverStep(BoundStep):
    """Moves retries, from a worker's start to its end."""

    _mover: RetryMover | None = None

    def start(self, worker: Any) -> None:  # noqa: ARG002  (Celery's signature)
        """Start the mover with connections of its own."""
        client = connect(self.settings)
        queue = open_queue(self.settings, self.registry)
        server = watch_server(self.settings, client, queue)  # before the first connection
        clock = StoreClock(client)
        _warn_about(client)
        self._mover = RetryMover(
            RetrySet(client, self.settings),
            queue,
            Quarantine(DeadLetters(client, self.settings), clock, release(self.settings)),
            Router(self.registry, Workers(client)),
            lambda: server.moves,
        )
        self._mover.start()

    def stop(self, worker: Any) -> None:  # noqa: ARG002
        """Stop it."""
        if self._mover is not None:
            self._mover.stop()

    terminate = stop


class HeartbeatStep(BoundStep):
    """Reports, and looks for foreign messages. Says good-bye when the consumer has stopped."""

    _heartbeat: Heartbeat | None = None
    _foreign: ForeignProducers | None = None
    _turns: Any = None

    def start(self, worker: Any) -> None:
        """Have the worker's loop note its turns, and start to report.

        The worker's timer is run by the consuming loop itself; only under gevent, eventlet and brokers without
        an event loop it has a thread of its own, and then a blocked loop goes unnoticed.
        """
        store = open_store(self.settings, briefly=True)
        self._heartbeat = heartbeat = Heartbeat(
            store.workers,
            store.queue_names,
            claimed_work,
            wrong_keys=lambda: (*store.overview.wrong_keys(), *store.queues.wrong_keys(heartbeat.queues)),
            node=worker.hostname,
            pool=worker.pool_cls.__module__.rpartition(".")[2],
            catalog=str(identity_of(self.registry)),
            release=team_release(self.settings),
        )

        def turn() -> None:
            """Note that the consuming loop still turns, and what it has at hand."""
            heartbeat.turn(loop_state(worker, getattr(worker, self.consumer)))

        worker.timer.call_after(0, turn)
        self._turns = worker.timer.call_repeatedly(TURN_S, turn)
        self._heartbeat.start()
        if topology(self.settings).on_redis:
            client = connect_briefly(self.settings)
            queues = partial(getattr, heartbeat, "queues")
            left = ForeignLists(self.settings)
            self._foreign = ForeignProducers(left, queues, QueueNames(client), Tally(client))
            self._foreign.start()

    def stop(self, worker: Any) -> None:
        """Stop all."""
        if self._foreign is not None:
            self._foreign.stop()
        if self._heartbeat is not None:
            worker.timer.cancel(self._turns)
            self._heartbeat.stop()

    terminate = stop


COLLECT_AFTER = 10_000
"""Containers that may be made before Python looks for unreachable ones."""


class SeldomCollectionStep(bootsteps.Step):
    """Looks for garbage more seldom than after 700 containers, which a batch makes many times over, all in use.

    Steps are made before the pool is, whose processes are forked with this in force.
    """

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        gc.set_threshold(COLLECT_AFTER)


def _warn_about(client: Any) -> None:
    """Say at start-up what is wrong with Redis; a Redis that is away is waited for later."""
    try:
        info = read_server(client)
    except StoreError as error:
        logger.warning("bridge.store.away: %s", error)
        return
    # A user who may not ask is told nothing, which says nothing of the server.
    for sentence in (*server_faults(info), *server_warnings(info)) if info else ():
        logger.warning("bridge.store.unfit Redis is not fit for the bridge: %s", sentence)


def loop_state(worker: Any, consumer: Any) -> LoopState:
    """What the consuming loop of a Celery worker sees. Called in that loop."""
    task_consumer = getattr(consumer, "task_consumer", None)
    return LoopState(
        queues=tuple(queue.name for queue in task_consumer.queues) if task_consumer else (),
        processes=worker.pool.num_processes or 0,
        refused=getattr(consumer, "refused_queues", {}),
        blocked=getattr(getattr(consumer, "event_dispatcher", None), "blocked", False),
    )


def claimed_work() -> ClaimedWork:
    """What the worker of this process has taken of the bridge's; for any thread."""
    # The loop changes these meanwhile; copying a dict is one step of the interpreter.
    requests = [request for request in list(state.requests.values()) if isinstance(request, BridgeRequest)]
    started = dict(state.total_count)
    return ClaimedWork(
        consumed=sum(number for task, number in started.items() if task.startswith(TASK_PREFIX)),
        in_hand=len(requests),
        running=sum(request.time_start is not None for request in requests),
        oldest_s=_oldest_age_s(requests),
        forbidden=refusals.sentence,
    )


def _oldest_age_s(requests: Iterable[BridgeRequest]) -> float:
    """Since the oldest running message was started."""
    begun = min((at for request in requests if (at := request.begun_s) is not None), default=None)
    return 0.0 if begun is None else time.monotonic() - begun
