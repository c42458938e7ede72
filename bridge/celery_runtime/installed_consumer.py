"""``InstalledConsumer``: consumes the bridge's queues in a worker of a team's app, over a connection of its own."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import Any

from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from kombu.common import ignore_errors

from bridge.celery_runtime.consumer import RECONNECT_S, BridgeConsumer, begun_tags, is_ending
from bridge.celery_runtime.prefork import TaskPool
from bridge.celery_runtime.redis_channel import ClaimingChannel
from bridge.celery_runtime.shared_loop import SharedLoop
from bridge.celery_runtime.store_rest import StoreRest
from bridge.celery_runtime.task import BridgeRequest
from bridge.model.plain_text import plain_logger
from bridge.runtime.supervision import SupervisedThread
from bridge.settings import WorkerSettings

logger = plain_logger(__name__)

DRAIN_S = 1.0
"""How long a worker without an event loop (gevent, eventlet) waits for a message before it looks whether it ends."""
STOP_TIMEOUT_S = 5.0


class InstalledConsumer(BridgeConsumer):
    """Shares pool, timers and loop with the team's own consumer, with which it begins and ends, and no connection.

    Args:
        app: the bridge's, which no worker runs.
        worker: the team's.
        settings: the bridge's.
    """

    owns_process = False
    refused_wait_s = 0.0

    class Blueprint(BridgeConsumer.Blueprint):
        """No boot steps: the team's consumer has them."""

        default_steps = ()

    def __init__(self, app: Any, worker: Any, settings: WorkerSettings) -> None:
        multiplier = app.conf.worker_prefetch_multiplier
        super().__init__(
            worker.process_task,
            hostname=worker.hostname,
            pool=worker.pool,
            app=app,
            timer=worker.timer,
            controller=worker,
            hub=worker.hub,
            initial_prefetch_count=(worker.max_concurrency or worker.concurrency) * multiplier,
            prefetch_multiplier=multiplier,
            disable_rate_limits=True,
        )
        self.connection: Any = None
        self.event_dispatcher: Any = None
        self._loop: SharedLoop | None = None
        self._workers_hub = worker.hub
        self._consuming = Tasks(self)
        self._thread: SupervisedThread | None = None
        self._rest = StoreRest(settings, lambda: self.call_soon(self._go_on))
        app.bridge_rest = lambda: self.call_soon(self._take_a_rest)  # a task may end on any thread

    # With the team's consumer

    def begin(self, team: Any) -> None:
        """Consume, once the team's consumer does; for what cannot be connected to it is tried again."""
        self.event_dispatcher, self.on_task_message = team.event_dispatcher, team.on_task_message
        if self._workers_hub is None:
            self._go_on_by(self._drain, "bridge-consumer")
        else:
            self._open_or_wait()

    def pause(self) -> None:
        """End the connection: the team's consumer connects anew, and has forgotten what the pool had not begun."""
        self._end_thread()
        self._leave_loop()
        connection, self.connection = self.connection, None
        if connection:
            ignore_errors(connection, connection.close)

    def stop_claiming(self) -> None:
        """Take no more messages, as the worker ends: what the pool runs is acknowledged as soon as it is done.

        The pool waits for the team's longest task. Meanwhile no claim is renewed, and others can do what was not begun.
        """
        self._end_thread()
        self._rest.stop()
        if self.connection and self.task_consumer:
            ignore_errors(self.connection, self.task_consumer.cancel)
            channel = self.task_consumer.channel
            if isinstance(channel, ClaimingChannel):
                channel.qos.at_once = True
                ignore_errors(self.connection, channel.qos.flush_acknowledgements)
                if isinstance(self.pool, TaskPool):  # the one that by now has given up what it had not begun
                    ignore_errors(self.connection, lambda: channel.give_back_but(begun_tags()))

    def end(self) -> None:
        """Acknowledge, give back what was not begun, and close."""
        self.perform_pending_operations()
        self.pause()

    # One connection

    def _open(self) -> None:
        if self._workers_hub is not None:
            self.hub = self._loop = SharedLoop(self._workers_hub, self._lost)
        self.connection = self.connect()
        self._consuming.start(self)
        self.task_consumer.on_message = self.create_task_handler()
        if not self._rest.lasts:
            self.task_consumer.consume()
        interval_s = self.connection.get_heartbeat_interval()
        if self._loop is not None and interval_s and self.connection.supports_heartbeats:
            rate = self.amqheartbeat_rate
            self._loop.call_repeatedly(interval_s / rate, self.connection.heartbeat_check, rate)

    def _take_a_rest(self) -> None:
        """The store is away: what is claimed would only keep the pool from the team's tasks."""
        if self.connection and self.task_consumer and not is_ending():
            self.task_consumer.cancel()
            self._rest.begin()

    def _go_on(self) -> None:
        """Consume again, unless there is a reason not to; a connection that is made later does so by itself."""
        if self.connection and self.task_consumer and not is_ending() and not self._rest.lasts:
            self.task_consumer.consume()

    def _open_or_wait(self) -> None:
        try:
            self._open()
        except Exception as error:  # whatever it is, the team's tasks go on
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        """The connection broke, or could not be made: make it again once the broker answers."""
        self._leave_loop()
        if self.connection:
            self.on_connection_error_after_connected(error)
        else:
            self.on_connection_error_before_connected(error)
        self._go_on_by(self._wait_for_broker, "bridge-broker-watch")

    def _wait_for_broker(self, stopping: Event) -> None:
        """Try on a thread, so that a broker that does not answer holds up none of the team's tasks."""
        while not stopping.wait(RECONNECT_S["interval_max"]):
            try:
                with self.app.connection_for_read() as connection:
                    connection.connect()
            except Exception as error:
                self.on_connection_error_before_connected(error)
            else:
                self._workers_hub.call_soon(self._reopen)
                return

    def _reopen(self) -> None:
        if self.connection is None and self._thread is not None and not self._thread.stopping.is_set():
            self._open_or_wait()

    def _leave_loop(self) -> None:
        if self._loop is not None:
            self._loop.close()

    def _go_on_by(self, run: Callable[[Event], None], name: str) -> None:
        self._thread = thread = SupervisedThread(lambda: run(thread.stopping), name=name)
        thread.start()

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._thread.stop(STOP_TIMEOUT_S)

    def _drain(self, stopping: Event) -> None:
        """Consume on a thread of its own, where the worker has no event loop: all its threads take turns there."""
        try:
            self._open()
            while not stopping.is_set():
                self.perform_pending_operations()
                with suppress(TimeoutError):
                    self.connection.drain_events(timeout=DRAIN_S)
                if self.connection.supports_heartbeats:
                    self.connection.heartbeat_check(self.amqheartbeat_rate)
        except Exception as error:
            if self.connection:
                self.on_connection_error_after_connected(error)
            raise  # it is run again

    # What Celery's consumer asks of itself

    def ensure_connected(self, conn: Any) -> Any:
        """One attempt: no other may hold up the loop."""
        conn.connect()
        return conn

    def update_strategies(self) -> None:
        """For the bridge's own tasks; how the pool runs them is set up by the team's consumer."""
        for name in self._tasks:
            self.strategies[name] = self.app.tasks[name].start_strategy(self.app, self)

    def _look_at_refused_queues(self) -> None:
        if self.connection is None:
            return
        try:
            super()._look_at_refused_queues()
        except Exception as error:
            self._lost(error)

    @staticmethod
    def running_tags() -> frozenset[str]:
        """Tags of what this worker still has to run: if the bridge's connection breaks, the pool keeps what it has."""
        if is_ending():
            return frozenset()
        requests = list(state.requests.values())
        return frozenset(one.message.delivery_tag for one in requests if isinstance(one, BridgeRequest))
