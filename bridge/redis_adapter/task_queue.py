"""``RedisTaskQueue``: messages in kombu's format, put on their queues and entered into the accounting in one step."""

import time
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias, cast
from uuid import uuid4

import msgspec
import redis

from bridge.messages.task_message import CONTENT_ENCODING, CONTENT_TYPE, TaskMessage, compressed
from bridge.model.errors import StoreError, as_broker_error
from bridge.model.plain_text import plain_logger
from bridge.redis_adapter.client import connect_briefly, connect_broker, store_errors, text
from bridge.redis_adapter.errors import REFUSED_WHOLE
from bridge.redis_adapter.keyspace import Keyspace
from bridge.redis_adapter.script import Call, OfStore, Script, script
from bridge.settings import QueueSettings, ServerSettings
from bridge.settings.topology import topology

logger = plain_logger(__name__)

PAUSE_S = 10.0
"""How long messages go unannounced after the accounting was out of reach, so that they hold up no message for long."""
QUEUES_MAX = 1_000
"""Queues' names that are remembered; the ones not named for longest fall off."""
ID_BYTES = 16
CALL_MESSAGES_MAX = 100
"""Messages that one call of ``send.lua`` takes at most …"""
CALL_BYTES_MAX = 1_000_000
"""… and about how many bytes, unless a single one has more: Redis serves no other client meanwhile."""

Pushed: TypeAlias = tuple[str, str, str, bytes, str, bytes]
"""A message that is entered: id, task, queue, ids of its events; and, where it is put on a queue, key and item."""


class RedisTaskQueue:
    """``bridge.ports.Queue`` on Redis: a script for each message, all in one round trip."""

    def __init__(self, settings: QueueSettings) -> None:
        self._client = connect_broker(settings)
        self._entries = Entries(self._client)
        self._prefix = settings.queue_prefix
        # With the accounting elsewhere, they are written first: what is announced and not sent is found by an audit.
        self._announcer = None if topology(settings).one_server else Announcer(settings)

    @property
    def connection_pool(self) -> Any:
        """Of the connections on which messages are sent."""
        return self._client.connection_pool

    def prepare(self) -> None:
        """Nothing is imported late here."""

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """One round trip, and one more before it where the accounting is elsewhere."""
        announced = self._announcer is None or self._announcer.announce(messages)
        pushed = [
            (
                message.message_id,
                message.task,
                message.queue,
                message.event_ids if self._announcer is None else b"",
                self._prefix + message.queue,
                queue_item(message, announced=announced),
            )
            for message in messages
        ]
        try:
            self._entries.enter_and_push(pushed)
        except StoreError as error:
            self.close()
            undone = error.code in REFUSED_WHOLE and len([*_groups(pushed)]) == 1  # of several calls one may be made
            said = f"The broker did not take {len(messages)} messages."
            raise as_broker_error(error, said, undone=undone) from error

    def insist_on_room(self) -> None:
        """As ``Queue.insist_on_room``: a full Redis is known when it is written to."""

    def close(self) -> None:
        """Drop the connections; the next ``send`` opens others. Idempotent."""
        self._client.close()
        if self._announcer is not None:
            self._announcer.close()


class Announcer:
    """Keeps a connection to the accounting. Without it messages are sent all the same: the worker enters them then."""

    def __init__(self, settings: ServerSettings) -> None:
        self._client = connect_briefly(settings)
        self._entries = Entries(self._client)
        self._away_until = 0.0

    def announce(self, messages: Sequence[TaskMessage]) -> bool:
        """Enter messages; idempotent by message id. Returns whether they are in the accounting."""
        if time.monotonic() < self._away_until:
            return False
        try:
            self._entries.enter([(m.message_id, m.task, m.queue, m.event_ids) for m in messages if m.event_ids])
        except StoreError as error:
            self._away_until = time.monotonic() + PAUSE_S
            logger.warning("bridge.books.away: for %g s messages are sent unannounced. %s", PAUSE_S, error)
            return False
        return True

    def close(self) -> None:
        """Drop the connection; the next call opens another."""
        self._client.close()


class Entries(OfStore):
    """Enters messages into the accounting as they are sent."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self._send = script("send")
        self._known = (0, 0)
        self._names = QueueNames(client)
        self._noted: set[str] = set()

    def enter(self, messages: Sequence[tuple[str, str, str, bytes]]) -> None:
        """Enter messages whose queues are on another broker: id, task, queue, ids of the events (16 bytes each).

        Where it raises, some may be entered.
        """
        self.enter_and_push([(message_id, task, queue, ids, "", b"") for message_id, task, queue, ids in messages])

    def enter_and_push(self, messages: Sequence[Pushed]) -> None:
        """Enter messages, and put each on its queue in the same step; some at a time, all in one round trip.

        Args:
            messages: id, task, queue, ids of the events (16 bytes each; empty: enter nothing), key of the
                queue's list (empty: no queue), what to put there. Where it raises, some may be on their queues.
        """
        self._note_queues({queue for _, _, queue, ids, _, _ in messages if ids})
        calls = [_call(self._send, self._keys, self._known, group) for group in _groups(messages)]
        with store_errors():
            answers = self._send.run_many(self._client, calls)
        for accepted, times in answers:
            if accepted:
                self._learn(accepted, times)

    def _note_queues(self, queues: set[str]) -> None:
        """Once a process and queue, so that the queue is known also where no registry names it."""
        new = queues - self._noted
        if new:
            self._names.note(sorted(new))
            self._noted |= new

    def _learn(self, accepted: int, times: int) -> None:
        """The accounting never knows of fewer than before, unless it was set back; see send.lua."""
        # A sender that has just learnt of it knows what the accounting knows now.
        self._known = (max(accepted, self._known[0]) if times == self._known[1] else accepted, times)


class QueueNames(OfStore):
    """``bridge.ports.QueueNames`` on Redis: a sorted set by when a queue was named last."""

    def note(self, names: Iterable[str]) -> None:
        """One script call; beyond QUEUES_MAX the names not noted for longest fall off. Idempotent."""
        self._run("note_queues", [QUEUES_MAX, *names])

    def all(self) -> tuple[str, ...]:
        """One ZREVRANGE, the newest first."""
        with store_errors():
            names = cast("list[bytes]", self._client.zrevrange(self._keys.QUEUES, 0, -1))
        return tuple(map(text, names))


def queue_item(message: TaskMessage, *, announced: bool) -> bytes:
    """A message as kombu's Redis transport keeps it on a list."""
    body, compression = compressed(message.body())
    return msgspec.json.encode(
        {
            "body": b2a_base64(body, newline=False).decode(),
            "content-encoding": CONTENT_ENCODING,
            "content-type": CONTENT_TYPE,
            "headers": message.headers(announced=announced, compression=compression),
            "properties": {
                "correlation_id": message.message_id,
                "reply_to": "",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": message.queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    )


def entry(task: str, queue: str, event_ids: bytes) -> bytes:
    """What the record of a message says besides its time."""
    return b"%b %b\n%b" % (task.encode(), queue.encode(), event_ids)


def _groups(messages: Sequence[Pushed]) -> Iterator[list[Pushed]]:
    """As many messages together as one call may take."""
    group: list[Pushed] = []
    size = 0
    for message in messages:
        _, _, _, ids, _, item = message
        more = len(ids) + len(item)
        if group and (len(group) >= CALL_MESSAGES_MAX or size + more > CALL_BYTES_MAX):
            yield group
            group, size = [], 0
        group.append(message)
        size += more
    if group:
        yield group


def _call(send: Script, keys: Keyspace, known: tuple[int, int], messages: Sequence[Pushed]) -> Call:
    """Keys and arguments of ``send.lua``."""
    places: dict[str, int] = {}
    arguments: list[str | int | bytes] = [*known]
    for message_id, task, queue, ids, key, item in messages:
        place = places.setdefault(key, len(places) + 1) if key else 0
        arguments += (message_id, entry(task, queue, ids) if ids else b"", len(ids) // ID_BYTES, place, item)
    return Call(send.keys(keys, *places), arguments)
