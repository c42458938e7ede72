"""RabbitMQ, tried as producers and workers use it: queues of this form, publishing with confirmation, taking."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from kombu import Connection, Producer

from bridge.amqp_adapter.errors import broker_error
from bridge.amqp_adapter.kombu_options import CONNECT_TIMEOUT_S, RABBIT_OPTIONS, SENDING_OPTIONS, tls_options
from bridge.amqp_adapter.queues import queue
from bridge.model.registry import Registry
from bridge.settings import ServerSettings

NOT_FOUND = 404


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
    connection = Connection(
        settings.broker_url,
        connect_timeout=CONNECT_TIMEOUT_S,
        ssl=tls_options(settings) or False,
        transport_options=SENDING_OPTIONS if sends else RABBIT_OPTIONS,
    )
    with connection:
        _at_once(connection.connect, "The broker does not answer.")
        for name in registry.queues:
            yield from _queue_faults(connection, settings, name)
        if sends or takes:
            yield from _message_faults(connection, settings, sends=sends, takes=takes)


def _at_once(action: Any, said: str) -> Any:
    try:
        return action()
    except Exception as error:
        trouble = broker_error(error, said)
        if trouble is None:
            raise
        raise trouble from error


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
        scratch.queue_declare()
        if sends:
            Producer(channel, auto_declare=False).publish("check", exchange="", routing_key=name, delivery_mode=2)
        if takes:
            channel.basic_get(name, no_ack=True)
        channel.queue_delete(name)
    except Exception as error:
        trouble = broker_error(error, "A scratch queue could not be declared, written and read.")
        if trouble is None:
            raise
        yield str(trouble)
