"""How long each queue is, and how old what waits there: of Redis, of Redis behind sentinels, and of RabbitMQ."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, cast
from uuid import UUID

import redis

from bridge.amqp_adapter.kombu_options import CONNECT_TIMEOUT_S, tls_options, transport_options
from bridge.messages import ATTEMPT_HEADER, BOOKED_HEADER
from bridge.model.bounds import PARSER_ERRORS
from bridge.model.errors import StoreError, as_broker_error
from bridge.redis_adapter import Ledger
from bridge.redis_adapter.client import connect_briefly, connect_broker, keyspace_of, store_errors
from bridge.redis_adapter.ledger import read_record
from bridge.redis_adapter.queue_discovery import PRIORITIES, QueueFinder, priority_lists
from bridge.settings import Settings
from bridge.settings.topology import topology

UNACKED = "unacked"
"""kombu's hash of claimed messages, behind the broker's key prefix."""
FIND_KEYS_MAX = 20_000
"""Keys of the broker among which one look searches for queues: it takes Redis about 10 ms, in steps of half a ms."""
SAMPLE = 1_000
"""Messages on their way that are looked at for the oldest one, where queues cannot be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueState:
    """One queue at one moment.

    Attributes:
        name: ``bridge.<category>``.
        depth: messages that wait to be taken, also on the lists of priorities (Redis).
        oldest_age_s: since the one that is taken next was accepted; None if nothing waits, or the books do not
            know. On RabbitMQ it is that of the oldest of up to 1,000 messages on their way, in hand or not.
        registered: whether it is a queue of the registry.
        task: of the message that is taken next; empty if nobody can tell.
    """

    name: str
    depth: int
    oldest_age_s: float | None
    registered: bool = True
    task: str = ""


def one_line(name: str) -> str:
    """A name that somebody else gave, without what would steer a terminal or break a line."""
    return name if name.isprintable() else json.dumps(name)


class QueueReader(Protocol):
    """Reads the queues of one kind of broker."""

    def names(self, keys_max: int) -> frozenset[str]:
        """Queues of ours that are on the broker, as far as it tells; look by look, those of earlier looks included.

        Raises:
            BrokerError: the broker is away or refuses.
            StoreError: the books are away or refuse.
        """
        ...

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        """Every queue, and how many messages workers have claimed; None if the broker does not say.

        Raises:
            BrokerError: the broker is away.
            StoreUnavailableError: the books are away.
        """
        ...


def queue_reader(settings: Settings) -> QueueReader:
    """The reader for this broker. Opens no connection before its first use."""
    return _RedisQueues(settings) if topology(settings).on_redis else _AmqpQueues(settings)


class _RedisQueues:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix = settings.queue_prefix
        self._books = connect_briefly(settings)
        self._keys = keyspace_of(self._books)
        self._finder = QueueFinder(self._prefix)

    def names(self, keys_max: int) -> frozenset[str]:
        with self._client() as client:
            self._finder.look(client, keys_max)
        return self._finder.found

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        with self._client() as client, client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.exists(*(self._prefix + key for key in priority_lists(name)))
                pipeline.llen(self._prefix + name)
                pipeline.lindex(self._prefix + name, -1)
            pipeline.hlen(self._prefix + UNACKED)
            *answers, claimed = pipeline.execute()
            apart = [name for name, some in zip(names, answers[::3], strict=True) if some]
            more = self._on_priority_lists(pipeline, apart)
        heads = [
            _read_head(item or more.get(name, (0, None))[1]) for name, item in zip(names, answers[2::3], strict=True)
        ]
        accepted = self._accepted_ms([head.booked_as for head in heads])
        states = [
            QueueState(
                name=name,
                depth=depth + more.get(name, (0, None))[0],
                oldest_age_s=_age_s(accepted.get(head.booked_as, head.made_ms), now_ms),
                task=head.task,
            )
            for name, depth, head in zip(names, answers[1::3], heads, strict=True)
        ]
        return states, claimed

    def _on_priority_lists(self, pipeline: Any, names: Sequence[str]) -> dict[str, tuple[int, bytes | None]]:
        """How much is on the priority lists of a queue, and what is taken next there."""
        for name in names:
            for key in priority_lists(name):
                pipeline.llen(self._prefix + key)
                pipeline.lindex(self._prefix + key, -1)
        answers = pipeline.execute()
        width = 2 * len(PRIORITIES)
        found = {}
        for name, start in zip(names, range(0, len(answers), width), strict=True):
            part = answers[start : start + width]
            found[name] = sum(part[::2]), next((item for item in part[1::2] if item), None)
        return found

    @contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        with _broker_client(self._settings, self._books) as client:
            try:
                with store_errors():
                    yield client
            except StoreError as error:
                raise as_broker_error(error, "The broker does not answer.") from error

    def _accepted_ms(self, message_ids: Sequence[str]) -> dict[str, int]:
        ids = [message_id for message_id in message_ids if message_id]
        with store_errors():
            records = self._books.hmget(self._keys.OPEN, ids) if ids else []
        found = zip(ids, cast("list[bytes | None]", records), strict=True)
        return {message_id: read_record(message_id, record).accepted_ms for message_id, record in found if record}


@contextmanager
def _broker_client(settings: Settings, books: redis.Redis) -> Iterator[redis.Redis]:
    if topology(settings).one_server:
        yield books
        return
    with connect_broker(settings, briefly=True) as client:
        yield client


@dataclass(frozen=True, kw_only=True, slots=True)
class _Head:
    """The message that is taken next: what it is in the books under, and when it was made if they do not know."""

    booked_as: str = ""
    made_ms: int | None = None
    task: str = ""


def _read_head(item: bytes | None) -> _Head:
    """What stands at the head of a queue may be anything."""
    try:
        headers: Mapping[str, Any] = json.loads(item or b"{}")["headers"]
        message_id = str(headers["id"])
        # A moved retry is a message of its own; when it was put there is not written anywhere.
        made_ms = None if headers.get(ATTEMPT_HEADER) else _made_ms(message_id)
        booked_as = str(headers.get(BOOKED_HEADER) or message_id)
        return _Head(booked_as=booked_as, made_ms=made_ms, task=str(headers.get("task") or ""))
    except (KeyError, TypeError, *PARSER_ERRORS):
        return _Head()


def _made_ms(message_id: str) -> int | None:
    """The time in a UUIDv7."""
    identity = UUID(message_id)
    return identity.int >> 80 if identity.version == 7 else None


def _age_s(since_ms: int | None, now_ms: int) -> float | None:
    return None if since_ms is None else max(0.0, (now_ms - since_ms) / 1000)


class _AmqpQueues:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ledger = Ledger(connect_briefly(settings), settings)

    def names(self, keys_max: int) -> frozenset[str]:  # noqa: ARG002  (there are no keys)
        # Nobody but its own management tells which queues RabbitMQ has; the books know where messages were put.
        return frozenset(message.queue for message in islice(self._ledger.summaries(), SAMPLE))

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        with _kombu_connection(self._settings) as connection:
            depths = {name: _declared_depth(connection, name) for name in names}
        oldest: dict[str, int] = {}
        for message in islice(self._ledger.summaries(), SAMPLE):
            oldest[message.queue] = min(message.accepted_ms, oldest.get(message.queue, message.accepted_ms))
        return [
            QueueState(name=name, depth=depth, oldest_age_s=_age_s(oldest.get(name), now_ms) if depth else None)
            for name, depth in depths.items()
        ], None


def _declared_depth(connection: Any, name: str) -> int:
    """Messages that are ready; a queue that nobody declared yet is empty."""
    # A channel of its own: RabbitMQ closes it when there is no such queue.
    channel = connection.channel()
    try:
        return int(channel.queue_declare(name, passive=True).message_count)
    except connection.channel_errors:
        return 0
    finally:
        channel.close()


@contextmanager
def _kombu_connection(settings: Settings) -> Iterator[Any]:
    from kombu import Connection

    from bridge.amqp_adapter.errors import broker_error

    # Keys are written out in full here; kombu would put the prefix before some, and not before others.
    options = {name: value for name, value in transport_options(settings).items() if name != "global_keyprefix"}
    connection = Connection(
        settings.broker_url,
        connect_timeout=CONNECT_TIMEOUT_S,
        ssl=tls_options(settings) or False,
        transport_options=options,
    )
    try:
        with connection:
            connection.connect()
            yield connection
    except Exception as error:
        trouble = broker_error(error, "The broker does not answer.")
        if trouble is None:
            raise
        raise trouble from error
