"""``RabbitBrokerQueues``: how long each queue of RabbitMQ is, how old what waits there, and moving it to another."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from kombu import Connection

from bridge.amqp_adapter.errors import NOT_FOUND, broker_errors
from bridge.amqp_adapter.kombu_options import queue, rabbit_connection
from bridge.amqp_adapter.properties import guard_amqp
from bridge.messages import BOOKED_HEADER
from bridge.messages.queue_item import QueueState, age_s
from bridge.messages.validation import COUNTED_BY_BROKER
from bridge.redis_adapter import Ledger
from bridge.settings import ServerSettings

NO_ANSWER = "The broker did not answer."
SAMPLE = 1_000
"""Messages on their way that are looked at for the oldest one: RabbitMQ shows none without taking it."""


class RabbitBrokerQueues:
    """``bridge.ports.BrokerQueues`` on RabbitMQ.

    Args:
        ledger: knows where messages were put, and when, and is told where they were moved.
    """

    def __init__(self, settings: ServerSettings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger

    def find(self, *, thorough: bool = False) -> frozenset[str]:  # noqa: ARG002  (there is one way to look)
        # Only its own management tells which queues RabbitMQ has.
        return frozenset(message.queue for message in islice(self._ledger.summaries(), SAMPLE))

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        depths = read_depths(self._settings, names)
        oldest: dict[str, int] = {}
        for message in islice(self._ledger.summaries(), SAMPLE):
            oldest[message.queue] = min(message.accepted_ms, oldest.get(message.queue, message.accepted_ms))
        return [
            QueueState(name=name, depth=depth, oldest_age_s=age_s(oldest.get(name), now_ms) if depth else None)
            for name, depth in depths.items()
        ], None

    def wrong_keys(self, names: Sequence[str]) -> tuple[()]:  # noqa: ARG002  (it keeps nothing under keys)
        return ()

    def claimed(self) -> Counter[str] | None:
        return None

    def messages(self, queues: Sequence[str]) -> None:  # noqa: ARG002
        return None

    def move(self, source: str, target: str) -> Iterator[tuple[int, int]]:
        return move_messages(self._settings, source, target, lambda book_id: self._ledger.note_moved(target, [book_id]))


def read_depths(settings: ServerSettings, names: Sequence[str]) -> dict[str, int]:
    """How many messages wait on each queue of RabbitMQ, claimed by no worker; none on one that does not exist.

    Raises:
        BrokerError: the broker is away or refuses.
    """
    with broker_errors(NO_ANSWER), rabbit_connection(settings) as connection:
        return {name: _depth(connection, settings, name) for name in names}


def _depth(connection: Connection, settings: ServerSettings, name: str) -> int:
    # A channel each: asking for a queue that does not exist closes the channel.
    channel = connection.channel()
    try:
        answer = queue(settings, name).bind(channel).queue_declare(passive=True)
    except connection.channel_errors as error:
        if getattr(error, "code", None) == NOT_FOUND:
            return 0
        raise
    channel.close()
    return int(answer.message_count)


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
    with broker_errors(NO_ANSWER), rabbit_connection(settings) as connection:
        channel = connection.channel()
        queue(settings, target).bind(channel).declare()
        waiting = channel.queue_declare(source, passive=True).message_count
        for _ in range(waiting):
            message = channel.basic_get(source)
            if message is None:
                break
            headers: dict[str, Any] = message.properties.get("application_headers") or {}
            for counted in COUNTED_BY_BROKER:
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
