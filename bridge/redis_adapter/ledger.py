"""The accounting's first page: which accepted events are on their way, message by message."""

from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias, cast
from uuid import UUID

import redis

from bridge.model.accounting import Balance, OpenMessage, Summary
from bridge.redis_adapter.accounting import read_balance
from bridge.redis_adapter.client import keyspace_of, store_errors
from bridge.redis_adapter.keyspace import Keyspace
from bridge.redis_adapter.operations_log import ENTRIES_MAX
from bridge.redis_adapter.queue_names import QueueNames
from bridge.redis_adapter.script import Call, Script, script
from bridge.settings import RetentionSettings

ID_BYTES = 16
TIME_BYTES = 13
SCAN_COUNT = 500
CALL_MESSAGES_MAX = 100
"""Messages that one call of ``send.lua`` takes at most …"""
CALL_BYTES_MAX = 1_000_000
"""… and about how many bytes, unless a single one has more: Redis serves no other client meanwhile."""

Pushed: TypeAlias = tuple[str, str, str, bytes, str, bytes]
"""A message that is entered: id, task, queue, ids of its events; and, where it is put on a queue, key and item."""


def entry(task: str, queue: str, event_ids: bytes) -> bytes:
    """What the record of a message says besides its time."""
    return b"%b %b\n%b" % (task.encode(), queue.encode(), event_ids)


def record_bytes(task: str, queue: str, events: int) -> int:
    """Length of a message's record as long as no event was taken from it."""
    return TIME_BYTES + 1 + len(task.encode()) + 1 + len(queue.encode()) + 1 + ID_BYTES * events


class Entries:
    """Enters messages into the accounting as they are sent."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)
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


class Ledger(Entries):
    """``bridge.ports.Accounting`` on Redis. Every event leaves in the script that ends it."""

    def __init__(self, client: redis.Redis, settings: RetentionSettings) -> None:
        super().__init__(client)
        self._mark_life_s = settings.seen_life_s
        self._book = script("book")

    def book(self, message_id: str, task: str, queue: str, event_ids: Sequence[UUID]) -> None:
        ids = b"".join(event_id.bytes for event_id in event_ids)
        with store_errors():
            self._book.run(
                self._client,
                [message_id, entry(task, queue, ids), len(event_ids), self._mark_life_s],
                booked=self._keys.booked(message_id),
            )

    def write_off(self, messages: Sequence[OpenMessage], *, who: str, reason: str) -> int:
        arguments: list[str | int | bytes] = [ENTRIES_MAX, who, reason]
        for message in messages:
            arguments += (message.message_id, len(message.event_ids), *map(str, message.event_ids))
        with store_errors():
            return int(script("write_off").run(self._client, arguments))

    def unfinished(self, message_id: str, event_ids: Collection[str]) -> frozenset[str]:
        with store_errors():
            record = cast("bytes | None", self._client.hget(self._keys.OPEN, message_id))
        waiting = {str(event_id) for event_id in read_record(message_id, record).event_ids} if record else set()
        return frozenset(waiting.intersection(event_ids))

    def balance(self) -> Balance:
        return read_balance(self._client)

    @property
    def open_key(self) -> str:
        """Where the messages on their way are written down, for a script that moves some."""
        return self._keys.OPEN

    def note_moved(self, queue: str, book_ids: Sequence[str]) -> None:
        """Messages were moved to this queue of another broker. Idempotent."""
        pairs = [word for book_id in book_ids for word in ("", book_id)]
        with store_errors():
            script("requeue").send(self._client, Call([self._keys.OPEN], [queue, *pairs]))

    def summaries(self) -> Iterator[Summary]:
        for message_id, record in self._records():
            head, _, ids = record.partition(b"\n")
            accepted_ms, _, queue = head.split(b" ")
            yield Summary(message_id.decode(), int(accepted_ms), queue.decode(), len(ids) // ID_BYTES)

    def get(self, message_ids: Sequence[str]) -> list[OpenMessage]:
        if not message_ids:
            return []
        with store_errors():
            records = cast("list[bytes | None]", self._client.hmget(self._keys.OPEN, list(message_ids)))
        return [read_record(name, record) for name, record in zip(message_ids, records, strict=True) if record]

    def holding(self, event_id: UUID) -> list[OpenMessage]:
        found = [
            read_record(message_id.decode(), record)
            for message_id, record in self._records()
            if event_id.bytes in record
        ]
        # Its bytes may also lie across the ids of two others; and a scan may show a message twice.
        return list({message.message_id: message for message in found if event_id in message.event_ids}.values())

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        cursor = 0
        while True:
            with store_errors():
                answer = self._client.hscan(self._keys.OPEN, cursor, count=SCAN_COUNT)
            cursor, records = cast("tuple[int, dict[bytes, bytes]]", answer)
            yield from records.items()
            if not cursor:
                return


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


def read_record(message_id: str, record: bytes) -> OpenMessage:
    """A message from its record."""
    head, _, ids = record.partition(b"\n")
    accepted_ms, task, queue = head.decode().split(" ")
    return OpenMessage(
        message_id=message_id,
        accepted_ms=int(accepted_ms),
        task=task,
        queue=queue,
        event_ids=tuple(UUID(bytes=ids[at : at + ID_BYTES]) for at in range(0, len(ids), ID_BYTES)),
    )
