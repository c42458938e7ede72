"""``TaskSender``: puts messages on the broker, many in one write; for producers and for the retry mover."""

from collections.abc import Sequence
from typing import Any

from kombu import Connection, Producer, Queue
from kombu.exceptions import KombuError

from bridge.broker.message import CONTENT_ENCODING, CONTENT_TYPE, TaskMessage, new_message_id
from bridge.broker.options import CONNECT_TIMEOUT_S, tls_options, transport_options
from bridge.broker.topology import queue, queues
from bridge.errors import BrokerUnavailableError
from bridge.registry import Registry
from bridge.settings import Settings


class TaskSender:
    """One connection to the broker, opened at the first ``send`` and again after trouble. Not thread-safe."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._queues: dict[str, Queue] = {known.name: known for known in queues(settings, registry)}
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """Put messages on their queues, in order, and wait until the broker has them.

        Raises:
            BrokerUnavailableError: not all of them were confirmed. Some may have been taken: send all
                again, since the worker recognises an event that it has published before.
        """
        try:
            producer = self._open()
            with producer.batch():
                for message in messages:
                    self._publish(producer, message)
        except Exception as error:
            self.close()
            if isinstance(error, self._trouble()):
                raise BrokerUnavailableError(
                    f"The broker did not take {len(messages)} messages: {type(error).__name__}: {error}"
                ) from error
            raise

    def close(self) -> None:
        """Drop the connection; ``send`` opens another. Idempotent, and never raises on a dead connection."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.release()

    def _open(self) -> Producer:
        if self._producer is None:
            self._connection = Connection(
                self._settings.broker_url,
                connect_timeout=CONNECT_TIMEOUT_S,
                ssl=tls_options(self._settings) or False,
                transport_options=transport_options(self._settings),
            )
            self._producer = Producer(self._connection.channel(), auto_declare=False)
        return self._producer

    def _publish(self, producer: Producer, message: TaskMessage) -> None:
        message_id = new_message_id()
        properties: dict[str, Any] = {"correlation_id": message_id, "reply_to": ""}
        producer.publish(
            message.body(),
            exchange="",
            routing_key=message.queue,
            declare=[self._queue(message.queue)],
            content_type=CONTENT_TYPE,
            content_encoding=CONTENT_ENCODING,
            headers=message.headers(message_id),
            delivery_mode=2,
            **properties,
        )

    def _queue(self, name: str) -> Queue:
        """A queue of the registry, or of the one under which a message was spooled or put off."""
        if name not in self._queues:
            self._queues[name] = queue(self._settings, name)
        return self._queues[name]

    def _trouble(self) -> tuple[type[BaseException], ...]:
        """What counts as the broker's trouble rather than as a bug."""
        probe = Connection(self._settings.broker_url)
        errors = (*probe.connection_errors, *probe.channel_errors, KombuError, OSError)
        # kombu lists KeyError among Redis connection errors; here it would hide a bug of ours.
        return tuple(error for error in errors if error is not KeyError)
