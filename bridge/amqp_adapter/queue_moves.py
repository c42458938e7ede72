"""Moving what stands on one queue of RabbitMQ onto another: each message is taken when the other queue has it."""

from collections.abc import Callable, Iterator
from typing import Any

from bridge.amqp_adapter.properties import guard_amqp
from bridge.amqp_adapter.queue_inspection import open_rabbitmq
from bridge.amqp_adapter.queues import queue
from bridge.messages import BOOKED_HEADER
from bridge.settings import ServerSettings

_COUNTED = ("x-delivery-count", "x-acquired-count")


def move_messages(
    settings: ServerSettings, source: str, target: str, note: Callable[[str], None]
) -> Iterator[tuple[int, int]]:
    """Move what stands on a queue now, message by message.

    ``note`` is told, for each message moved, the one under which its events are in the accounting; empty if none is.

    Returns:
        How many were moved so far, and, at last, how many stand there still, which came meanwhile.

    Raises:
        BrokerError: the broker is away or refuses; what was moved stays moved.
    """
    moved = 0
    guard_amqp()
    with open_rabbitmq(settings) as connection:
        channel = connection.channel()
        queue(settings, target).bind(channel).declare()
        waiting = channel.queue_declare(source, passive=True).message_count
        for _ in range(waiting):
            message = channel.basic_get(source)
            if message is None:
                break
            headers: dict[str, Any] = message.properties.get("application_headers") or {}
            for counted in _COUNTED:
                headers.pop(counted, None)
            channel.basic_publish(message, exchange="", routing_key=target)  # waits for the confirm
            channel.basic_ack(message.delivery_tag)
            moved += 1
            note(_book_id(headers))
            yield moved, 0
        left = channel.queue_declare(source, passive=True).message_count
    yield moved, left


def _book_id(headers: dict[str, Any]) -> str:
    found = headers.get(BOOKED_HEADER) or headers.get("id")
    return found if isinstance(found, str) else ""
