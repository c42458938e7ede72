"""RabbitMQ, tried as producers and workers use it: queues of this form, publishing with confirmation, taking."""

from collections.abc import Iterator
from uuid import uuid4

from kombu import Connection, Producer

from bridge.amqp_adapter.errors import NOT_FOUND, broker_error, broker_errors
from bridge.amqp_adapter.kombu_options import RABBIT_OPTIONS, SENDING_OPTIONS, queue, rabbit_connection
from bridge.model.errors import BrokerError
from bridge.model.registry import Registry
from bridge.settings import ServerSettings


def try_rabbit(settings: ServerSettings, registry: Registry, *, sends: bool, takes: bool) -> Iterator[str]:
    """What does not work, one sentence each. Queues that exist are left as they are; a scratch queue is removed again.

    Args:
        settings: name a RabbitMQ.
        registry: whose queues are looked at.
        sends: publish with confirmation, as a producer does.
        takes: take a message, as a worker does.

    Raises:
        BrokerError: the broker cannot be reached, or refuses the connection.
    """
    with rabbit_connection(settings, SENDING_OPTIONS if sends else RABBIT_OPTIONS) as connection:
        with broker_errors("The broker does not answer."):
            connection.connect()
        for name in registry.queues:
            yield from _queue_faults(connection, settings, name)
        if sends or takes:
            yield from _message_faults(connection, settings, sends=sends, takes=takes)


def _queue_faults(connection: Connection, settings: ServerSettings, name: str) -> Iterator[str]:
    """Whether a queue that exists is of the form in which the bridge declares it."""
    channel = connection.channel()  # its own: a refusal closes it
    try:
        queue(settings, name).bind(channel).queue_declare(passive=True)
    except connection.channel_errors as error:
        if getattr(error, "code", None) != NOT_FOUND:
            yield f"the queue {name}: {broker_error(error, '')}".replace(":  ", ": ")
        return
    try:
        queue(settings, name).bind(channel).queue_declare()  # it exists: that compares, and creates nothing
        channel.close()
    except connection.channel_errors as error:
        yield f"the queue {name}: {broker_error(error, '')}".replace(":  ", ": ")


def _message_faults(connection: Connection, settings: ServerSettings, *, sends: bool, takes: bool) -> Iterator[str]:
    name = f"bridge.check.{uuid4().hex[:12]}"
    channel = connection.channel()
    scratch = queue(settings, name).bind(channel)
    try:
        with broker_errors("A scratch queue could not be declared, written and read."):
            scratch.queue_declare()
            if sends:
                Producer(channel, auto_declare=False).publish("check", exchange="", routing_key=name, delivery_mode=2)
            if takes:
                channel.basic_get(name, no_ack=True)
            channel.queue_delete(name)
    except BrokerError as trouble:
        yield str(trouble)
