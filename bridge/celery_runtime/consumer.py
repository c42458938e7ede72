"""``BridgeConsumer``: Celery's consumer, which hands Celery only what Celery can run."""

from collections.abc import Callable
from functools import partial
from typing import Any

from amqp.exceptions import RecoverableConnectionError
from celery.worker import state
from celery.worker.consumer import Consumer

from bridge.amqp_adapter.properties import UNREADABLE, guard_amqp
from bridge.celery_runtime.kombu_messages import bound_kombu, bounded, check_body, claimed_on, quarantine_message
from bridge.celery_runtime.redis_channel import ClaimingChannel
from bridge.celery_runtime.refusals import LOOK_S, WAIT_S, RefusedQueues, refusals
from bridge.celery_runtime.task import BridgeTask
from bridge.messages import BUNDLE_HEADER, CLAIMED_ON_HEADER
from bridge.messages.bundling import PASSED_CONTENT_TYPE, pass_on
from bridge.messages.queue_item import DELIVERIES_HEADER
from bridge.messages.validation import (
    DROPPED_HEADERS,
    RETURNS_HEADER,
    check_header_levels,
    check_message,
    check_number,
)
from bridge.model.bounds import RETURNS_MAX, MessageBounds
from bridge.model.errors import DecodeError, StoreError
from bridge.model.plain_text import one_line, plain_logger
from bridge.worker.quarantine import Quarantine

logger = plain_logger(__name__)


TOLD_HEADERS = ("eta", "expires")
"""Headers of foreign producers that are passed over, and told of."""
HELD_FACTOR = 4
"""A message may be claimed by a dying worker this many times more often than it may be the one that runs:
harmless messages are claimed together with the poison one."""


HELD_S = 5.0
"""How long a message that may not go back to RabbitMQ once more waits for Redis between attempts to dead-letter it."""

RECONNECT_S = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 3.0}
"""How long a worker that lost its broker waits between two attempts: so long at first, so much longer each time."""


class BridgeConsumer(Consumer):
    """Consumes the registry's queues.

    Without mingle and gossip, the chatter between workers, and without native delayed delivery: waiting
    retries are in the bridge's own retry set.
    """

    class Blueprint(Consumer.Blueprint):
        """Celery's boot steps but for one."""

        default_steps = tuple(
            step for step in Consumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery")
        )

    #: Whether nothing but the bridge's messages is read in this process.
    owns_process = True
    #: How long the main thread waits where a right is missing, in s.
    refused_wait_s = WAIT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["without_mingle"] = True
        kwargs["without_gossip"] = True
        if self.owns_process:
            bound_kombu()
        guard_amqp()
        super().__init__(*args, **kwargs)
        self._channel: ClaimingChannel | None = None
        self._quarantine: Quarantine = self.app.bridge_quarantine
        self._told: set[str] = set()
        self._delivery_max: int = self.app.bridge_delivery_max
        self._bounds: MessageBounds = self.app.bridge_message_bounds
        self._refused = RefusedQueues(self.app.amqp.queues)
        if self.timer is not None:
            self.timer.call_repeatedly(LOOK_S, self._look_at_refused_queues)
        # Celery has tasks of its own: one of these would swallow events without a word.
        self._tasks = frozenset(name for name, task in self.app.tasks.items() if isinstance(task, BridgeTask))

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, and try again for as long as it takes; Celery waits ever longer, up to half a minute."""
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT_S)
        return super().ensure_connected(conn)

    @property
    def refused_queues(self) -> dict[str, str]:
        """Queues that the broker does not let this worker consume, and why."""
        return self._refused.why

    def connect(self) -> Any:
        """Connect, and choose what can be consumed."""
        connection = super().connect()
        if connection.transport.driver_type == "amqp":
            self._refused.look(connection)
        return connection

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Connect anew; without the queue that the error names, if it names one."""
        if not self._refused.blame(exc):
            refusals.note_right(exc, wait_s=self.refused_wait_s)
        super().on_connection_error_after_connected(exc)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Connect anew; Celery logs each attempt."""
        if not refusals.note_right(exc, wait_s=self.refused_wait_s):
            super().on_connection_error_before_connected(exc)

    def _look_at_refused_queues(self) -> None:
        """Consume what was refused and is not any more. Run by the main loop; on a connection of its own."""
        if not self._refused.why or self.task_consumer is None:
            return
        try:
            with self.app.connection_for_read() as connection:
                found = self._refused.look(connection)
            for name in found:
                self.add_task_queue(name)
        except self.channel_errors as error:
            # The channel of all queues is closed; the loop goes on over a new connection.
            raise RecoverableConnectionError(str(error)) from error

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Celery's handler behind our own check.

        The check must come first: Celery reserves a place in its pool before it trips over some headers,
        and never frees it.
        """
        state.maybe_shutdown()  # a signal during the start has stopped the pool already
        handle = super().create_task_handler(*args, **kwargs)
        claiming = isinstance(self.task_consumer.channel, ClaimingChannel)
        if claiming:
            self._set_up(self.task_consumer.channel)
        else:
            channel = self.task_consumer.channel
            channel.Message = bounded(type(channel).Message, self._bounds)
            channel.auto_decode = False  # py-amqp runs any codec that a message names, also quadratic ones
        # kombu counts KeyError as a connection error, and would reconnect forever over one message.
        server = claimed_on(self.task_consumer)
        trouble = tuple(kind for kind in (*self.connection_errors, *self.channel_errors) if kind is not KeyError)

        def on_message(message: Any) -> None:
            """Check one message, then hand it to Celery; what either cannot take is put aside."""
            try:
                if not claiming:
                    _refuse_own_marks(message)
                pass_on(message, envelopes_max=self._bounds.envelopes)
                check_body(message, self._bounds)
                self._check(message)
                check_number(message.payload[0], self._bounds.envelopes)
            except DecodeError as error:
                self._put_aside(message, error)
                return
            self._tell_of(message.headers)
            _tidy(message.headers)
            message.headers[CLAIMED_ON_HEADER] = server
            try:
                handle(message)
            except trouble:
                raise
            except Exception as error:  # whatever else Celery trips over is this message's fault
                self._put_aside(message, error)

        return on_message

    def _tell_of(self, headers: dict[str, Any]) -> None:
        """Say once a worker and kind that a foreign producer asks for what the bridge does not do."""
        for name in TOLD_HEADERS:
            if headers.get(name) and name not in self._told:
                self._told.add(name)
                logger.warning(
                    "bridge.foreign.%s: a producer sends messages with it, which is passed over: an event is published "
                    "when its turn comes. This is said once.",
                    name,
                )

    def _set_up(self, channel: ClaimingChannel) -> None:
        channel.quarantine = partial(self._quarantine, claimed_on=channel.server.name)
        channel.bounds = self._bounds
        # The tasks of another registry in the same app have a handler of their own, which a bundle has not.
        handler = next((self.app.tasks[name].handler for name in self._tasks), None)
        channel.bundling_tasks = {name for name in self._tasks if self.app.tasks[name].handler is handler}
        # With several processes a bundle of one task leaves the others to them.
        most = getattr(self.controller, "max_concurrency", None) or self.pool.num_processes
        channel.mixes_tasks = most == 1
        channel.running = self.running_tags
        previous = self._channel
        if previous is not None and previous is not channel:
            channel.inherit(previous)
        self._channel = channel

    @staticmethod
    def running_tags() -> frozenset[str]:
        """Delivery tags of what the pool runs; none when the worker ends, since then nothing runs on."""
        return frozenset() if is_ending() else begun_tags()

    def _check(self, message: Any) -> None:
        check_message(message.headers, lambda: message.payload, self._tasks)
        deliveries = message.headers.get(DELIVERIES_HEADER, 0)
        if deliveries >= HELD_FACTOR * self._delivery_max:
            raise DecodeError(f"Workers died {deliveries} times while they held this message, and none could start it.")
        if _is_near_its_end(message):
            raise DecodeError(
                f"The message came back {message.headers[RETURNS_HEADER]} times, as its workers died or could not "
                "settle it, and RabbitMQ would drop it soon."
            )

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Keep a message whose body kombu cannot read."""
        self._put_aside(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002  (Celery's signature)
        """Keep what is no task message."""
        self._put_aside(message, DecodeError("This is no Celery task message."))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """Keep a message for a task that this worker does not have, or that the task's own checks refuse."""
        self._put_aside(message, exc)

    on_invalid_task = on_unknown_task

    def _put_aside(self, message: Any, error: Exception) -> None:
        """Quarantine, then acknowledge; if Redis stays away, the message goes back to its queue, or is held."""
        channel = self.task_consumer.channel
        if isinstance(channel, ClaimingChannel) and channel.deliver_one_by_one(message.delivery_tag):
            return
        try:
            quarantine_message(self._quarantine, message, error, self._bounds)
        except StoreError as trouble:
            if _is_near_its_end(message):
                logger.error("bridge.message.held: %s", trouble)
                self.timer.call_after(HELD_S, self._put_aside, (message, error))
                return
            logger.error("bridge.message.returned: %s", trouble)
            message.reject_log_error(logger, self.connection_errors, requeue=True)
        else:
            message.ack_log_error(logger, self.connection_errors)


def begun_tags() -> frozenset[str]:
    """Delivery tags of what the pool has begun with and not ended, of any connection."""
    return frozenset(request.message.delivery_tag for request in tuple(state.active_requests))


def is_ending() -> bool:
    """Whether the worker was told to stop. 0 is a reason, too."""
    return any(reason is not None and reason is not False for reason in (state.should_stop, state.should_terminate))


def _is_near_its_end(message: Any) -> bool:
    """Whether a message has come back to RabbitMQ so often that a few returns more would make it drop it."""
    returns = message.headers.get(RETURNS_HEADER) if isinstance(message.headers, dict) else None
    return isinstance(returns, int) and returns >= RETURNS_MAX


def _refuse_own_marks(message: Any) -> None:
    """Refuse or take out what only our own transport may say.

    Raises:
        DecodeError: the content type is ours, or the headers are too deep, or cannot be read.
    """
    if UNREADABLE in message.properties:
        raise DecodeError("The message's AMQP properties cannot be read: too deep, no UTF-8, or out of range.")
    check_header_levels(message.headers)
    if message.content_type == PASSED_CONTENT_TYPE:
        raise DecodeError(f"The content type {PASSED_CONTENT_TYPE} is for use within a worker.")
    message.headers.pop(BUNDLE_HEADER, None)
    message.headers.pop(DELIVERIES_HEADER, None)


def _tidy(headers: dict[str, Any]) -> None:
    """Take out what Celery must not act on, and what would forge a line where Celery logs or shows a header."""
    for name in DROPPED_HEADERS:
        headers.pop(name, None)
    for name, value in headers.items():
        if isinstance(value, str) and not value.isprintable():
            headers[name] = one_line(value)
