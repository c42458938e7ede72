"""What stands on RabbitMQ's queues, by number, without taking it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kombu import Connection

from bridge.amqp_adapter.errors import broker_error
from bridge.amqp_adapter.kombu_options import CONNECT_TIMEOUT_S, tls_options
from bridge.amqp_adapter.queues import queue
from bridge.settings import ServerSettings

NOT_FOUND = 404


@dataclass(frozen=True, kw_only=True, slots=True)
class Depth:
    """How much stands on a queue: messages that no worker has claimed, and the consumers that would claim them."""

    ready: int
    consumers: int


@contextmanager
def open_rabbitmq(settings: ServerSettings) -> Iterator[Connection]:
    """A connection to RabbitMQ whose publishing waits until the broker has the message.

    Raises:
        BrokerError: it is away or refuses; also from within, whatever asks it.
    """
    options = {"confirm_publish": True, "read_timeout": CONNECT_TIMEOUT_S, "write_timeout": CONNECT_TIMEOUT_S}
    with (
        _broker_errors(),
        Connection(
            settings.broker_url,
            connect_timeout=CONNECT_TIMEOUT_S,
            ssl=tls_options(settings) or False,
            transport_options=options,
        ) as connection,
    ):
        yield connection


def read_depths(settings: ServerSettings, names: Sequence[str]) -> dict[str, Depth]:
    """How much stands on each queue of RabbitMQ; nothing on one that does not exist."""
    with open_rabbitmq(settings) as connection:
        return {name: _depth(connection, settings, name) for name in names}


def _depth(connection: Connection, settings: ServerSettings, name: str) -> Depth:
    # A channel each: asking for a queue that does not exist closes the channel.
    channel = connection.channel()
    try:
        answer = queue(settings, name).bind(channel).queue_declare(passive=True)
    except connection.channel_errors as error:
        if getattr(error, "code", None) == NOT_FOUND:
            return Depth(ready=0, consumers=0)
        raise
    channel.close()
    return Depth(ready=answer.message_count, consumers=answer.consumer_count)


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        trouble = broker_error(error, "The broker did not answer.")
        if trouble is None:
            raise
        raise trouble from error
