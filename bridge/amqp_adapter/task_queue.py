"""``AmqpTaskQueue``: messages through kombu's own transports, for RabbitMQ; and its alarm, which blocks who sends."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kombu import Connection, Producer, Queue

from bridge.amqp_adapter.errors import broker_error, diagnose
from bridge.amqp_adapter.kombu_options import queue, queues, rabbit_connection
from bridge.messages.task_message import CONTENT_ENCODING, CONTENT_TYPE, TaskMessage, compressed
from bridge.model.errors import BLOCKED, BrokerError, BrokerUnavailableError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.redis_adapter import Announcer
from bridge.settings import ServerSettings

logger = plain_logger(__name__)


def blocked(*, undone: bool = False) -> BrokerUnavailableError:
    """The error for a caller that would send."""
    return BrokerUnavailableError(BLOCKED, code="BLOCKED", undone=undone)


class AlarmWatch:
    """Whether RabbitMQ has blocked a connection for want of memory or disk; watches one at a time, on one thread.

    It blocks each connection that publishes. From then on it reads nothing more from it, acknowledgements included:
    what consumes must not publish.

    Attributes:
        blocked: what the broker said last, as far as it was read.
    """

    def __init__(self) -> None:
        self._watched: Any = None
        self.blocked = False

    def watch(self, connection: Connection) -> None:
        """Watch an open connection from now on; cheap if it is watched already. Redis has no such alarm."""
        if connection.transport.driver_type != "amqp":
            return
        amqp = connection.connection
        if amqp is not self._watched:
            self._watched, self.blocked = amqp, False
            amqp.on_blocked, amqp.on_unblocked = self._note_blocked, self._note_unblocked

    def still_blocked(self) -> bool:
        """Whether the connection is blocked, after reading what the broker has sent meanwhile; waits for nothing.

        Raises:
            Exception: the connection is lost, by kombu's ``connection_errors``.
        """
        if self.blocked:
            with suppress(TimeoutError):
                while True:
                    self._watched.drain_events(timeout=0)
        return self.blocked

    def _note_blocked(self, reason: str) -> None:  # noqa: ARG002  (py-amqp's signature, and always the same text)
        self.blocked = True

    def _note_unblocked(self) -> None:
        self.blocked = False


class AmqpTaskQueue:
    """``bridge.ports.Queue`` on RabbitMQ: one connection, opened at the first ``send`` and again after trouble."""

    def __init__(self, settings: ServerSettings, registry: Registry) -> None:
        self._settings = settings
        self._queues: dict[str, Queue] = {known.name: known for known in queues(settings, registry)}
        self._announcer = Announcer(settings)
        self._connection: Any = None
        self._producer: Producer | None = None
        self._alarm = AlarmWatch()
        self._declared: set[str] = set()
        self._warned: set[str] = set()

    def prepare(self) -> None:
        # Which transport it is, and which errors it has, are looked up at first use.
        connection = rabbit_connection(self._settings)
        _ = connection.transport.connection_errors
        broker_error(OSError(), "")
        connection.release()

    def send(self, messages: Sequence[TaskMessage]) -> None:
        announced = self._announcer.announce(messages)
        undone = True
        try:
            self.insist_on_room()
            producer = self._open()
            for name in {message.queue for message in messages} - self._declared:
                self._declare(self._queue(name))
            undone = False
            for message in messages:
                self._publish(producer, message, announced=announced)
        except Exception as error:
            if self._alarm.blocked:
                raise blocked(undone=undone) from error
            self.close()
            trouble = broker_error(error, f"The broker did not take {len(messages)} messages.", undone=undone)
            if trouble is None:
                raise  # a fault of ours
            raise trouble from error

    def insist_on_room(self) -> None:
        """As ``Queue.insist_on_room``; drops a connection that was blocked, as soon as it is not any more.

        What was sent over it last still lies before the broker, which takes it when the alarm ends: each new connection
        would add another copy. It is dropped then, so that a late confirmation is taken for no other message's.
        """
        if not self._alarm.blocked:
            return
        try:
            if self._alarm.still_blocked():
                raise blocked()
        except Exception as error:
            if isinstance(error, BrokerError) or diagnose(error) is None:
                raise
        self.close()  # also if it is lost

    def close(self) -> None:
        self._announcer.close()
        connection, self._connection, self._producer = self._connection, None, None
        self._declared.clear()
        if connection is not None:
            connection.release()

    def _open(self) -> Producer:
        if self._producer is None:
            self._connection = rabbit_connection(self._settings)
            self._producer = Producer(self._connection.channel(), auto_declare=False)
            self._alarm.watch(self._connection)
        return self._producer

    def _publish(self, producer: Producer, message: TaskMessage, *, announced: bool) -> None:
        properties: dict[str, Any] = {"correlation_id": message.message_id, "reply_to": ""}
        body, compression = compressed(message.body())
        producer.publish(
            body,
            exchange="",
            routing_key=message.queue,
            content_type=CONTENT_TYPE,
            content_encoding=CONTENT_ENCODING,
            headers=message.headers(announced=announced, compression=compression),
            delivery_mode=2,
            # A queue that was deleted meanwhile: RabbitMQ would confirm the message and drop it. So it sends it back,
            # which py-amqp raises, and over a new connection the queue is declared anew.
            mandatory=True,
            **properties,
        )

    def _declare(self, wanted: Queue) -> None:
        """See that there is a queue of that name.

        One that is there and is not as the bridge would have it takes messages all the same: they are safe there, while
        to refuse them would hold up those for all other queues.
        """
        connection, name = self._connection, wanted.name
        try:
            with connection.channel() as channel:
                wanted.bind(channel).declare()
        except connection.channel_errors as error:
            if not _exists(connection, wanted):
                raise
            if name not in self._warned:
                logger.error("bridge.queue.unlike queue=%s: messages are sent there all the same. %s", name, error)
                self._warned.add(name)
        self._declared.add(name)

    def _queue(self, name: str) -> Queue:
        """A queue of the registry, or of the one under which a message was spooled or put off."""
        if name not in self._queues:
            self._queues[name] = queue(self._settings, name)
        return self._queues[name]


def _exists(connection: Connection, queue: Queue) -> bool:
    """Whether a queue of that name is there, of whatever kind."""
    try:
        with connection.channel() as channel:
            queue.bind(channel).queue_declare(passive=True)
    except connection.channel_errors:
        return False
    return True
