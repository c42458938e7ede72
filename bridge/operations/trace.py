"""``Tracer``: where one event is, and what happened to it; it may be in several places when it was emitted twice."""

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import cast
from uuid import UUID

import msgspec
import redis

from bridge.messages.compression import COMPRESSION_HEADER, decompressed
from bridge.model.bounds import PARSER_ERRORS
from bridge.model.errors import BrokerError, DecodeError
from bridge.redis_adapter import DeadLetter, DeadLetters, Ledger, OpenMessage, RetryRecord
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.keyspace import Keyspace, seen_owner
from bridge.redis_adapter.queue_inspection import open_queues
from bridge.redis_adapter.read_only_script import look
from bridge.redis_adapter.retry_queue import read_retry
from bridge.settings import Settings
from bridge.settings.topology import topology

SCAN_COUNT = 1000


class Whereabouts(StrEnum):
    """Where a message on its way is."""

    QUEUED = "queued"
    """It stands on its queue."""
    CLAIMED = "claimed"
    """A worker has it."""
    MISSING = "missing"
    """It is neither on its queue nor in a worker's hands."""
    UNKNOWN = "unknown"
    """The broker does not tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """It stands, or stood, in a stream.

    Attributes:
        position: its place in the order of all events.
        user_id: whose it is; None for everybody's.
        seen_key: the key that remembers it.
        in_stream: whether a client that reconnects can still get it.
    """

    position: str
    user_id: str | None
    seen_key: str
    in_stream: bool

    @property
    def at_ms(self) -> int:
        """When, in ms of Redis time."""
        return int(self.position.partition("-")[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class OnItsWay:
    """A message that was accepted brings it."""

    message_id: str
    task: str
    queue: str
    accepted_ms: int
    whereabouts: Whereabouts


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """It failed, and is tried again.

    Attributes:
        record: with every failed attempt; None if it cannot be read.
        due_ms: when it is put on its queue, in ms of Redis time; None if that is forgotten.
        due_in_s: seconds until then; negative if it is overdue.
    """

    record: RetryRecord | None
    due_ms: int | None
    due_in_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Buried:
    """It is a dead letter, or in one that holds a whole message."""

    letter: DeadLetter


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedEvent:
    """It had nobody to tell."""

    at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Discarded:
    """It was a dead letter, and a person discarded it."""

    at: str
    who: str
    reason: str


Place = Published | OnItsWay | Waiting | Buried | SkippedEvent | Discarded


class Tracer:
    """Looks everywhere for one event. Reads only.

    Args:
        client: of the store; stays yours to close.
        settings: of the bridge.
    """

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._settings = settings
        self._ledger = Ledger(client, settings)
        self._letters = DeadLetters(client, settings)

    def trace(self, event_id: UUID, user_id: UUID | None = None) -> list[Place]:
        """Every place that knows the event; none if it is unknown.

        Args:
            event_id: of the event.
            user_id: whose it is; with it, nobody else's is looked for, and large stores answer at once.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        found: list[Place] = [
            *self._published(event_id, user_id),
            *self._on_its_way(event_id),
            *self._elsewhere(str(event_id)),
        ]
        # Whole messages are kept under another id; looking through all letters is the last resort.
        return found or [Buried(letter=letter) for letter in self._letters.newest_first() if holds(letter, event_id)]

    def _published(self, event_id: UUID, user_id: UUID | None) -> Iterator[Published]:
        with store_errors():
            if user_id is not None:
                marks = {self._keys.user_seen(user_id, event_id), self._keys.broadcast_seen(event_id)}
            else:
                found = self._client.scan_iter(match=self._keys.seen_marks(event_id), count=SCAN_COUNT)
                marks = {text(key) for key in found}
            for mark in sorted(marks):
                position = cast("bytes | None", self._client.get(mark))
                owner = _owner(self._keys, mark)
                if position is not None and owner:
                    yield self._place_of(mark, owner, text(position))

    def _place_of(self, mark: str, owner: str, position: str) -> Published:
        everybody = owner == self._keys.BROADCAST_STREAM
        stream = owner if everybody else self._keys.user_stream(UUID(owner))
        entries = self._client.xrange(stream, position, position)
        return Published(
            position=position, user_id=None if everybody else owner, seen_key=mark, in_stream=bool(entries)
        )

    def _on_its_way(self, event_id: UUID) -> Iterator[OnItsWay]:
        for message in self._ledger.holding(event_id):
            whereabouts = self._whereabouts(message, event_id)
            # Read again: it may have ended while we looked.
            if any(event_id in still.event_ids for still in self._ledger.get([message.message_id])):
                yield OnItsWay(
                    message_id=message.message_id,
                    task=message.task,
                    queue=message.queue,
                    accepted_ms=message.accepted_ms,
                    whereabouts=whereabouts,
                )

    def _whereabouts(self, message: OpenMessage, event_id: UUID) -> Whereabouts:
        if not topology(self._settings).on_redis:
            return Whereabouts.UNKNOWN
        try:
            with open_queues(self._settings) as broker:
                for queued in broker.messages([message.queue]):
                    if queued.book_id != message.message_id or (queued.is_part and event_id not in queued.event_ids()):
                        continue
                    return Whereabouts.CLAIMED if queued.claimed else Whereabouts.QUEUED
        except BrokerError:
            return Whereabouts.UNKNOWN
        return Whereabouts.MISSING

    def _elsewhere(self, event_id: str) -> Iterator[Place]:
        """What is kept by the event's own id, read at once."""
        (seconds, microseconds), record, due, skipped, tombstone = look(
            self._client,
            ("TIME",),
            ("HGET", self._keys.RETRY_RECORDS, event_id),
            ("ZSCORE", self._keys.RETRY_DUE, event_id),
            ("ZSCORE", self._keys.SKIPPED, event_id),
            ("HGET", self._keys.TOMBSTONES, event_id),
        )
        if record is not None:
            due_ms = None if due is None else float(due)
            due_in_s = None if due_ms is None else due_ms / 1000 - int(seconds) - int(microseconds) / 1e6
            yield Waiting(record=read_retry(record), due_ms=None if due_ms is None else int(due_ms), due_in_s=due_in_s)
        letter = self._letters.get(event_id)
        if letter is not None:
            yield Buried(letter=letter)
        if skipped is not None:
            yield SkippedEvent(at_ms=int(float(skipped)))
        if tombstone is not None:
            yield read_tombstone(tombstone)


def _owner(keys: Keyspace, mark: str) -> str:
    """Whose seen mark it is: a user's id, or the broadcast stream; empty if it is none of ours."""
    owner = seen_owner(mark)
    try:
        return owner if owner == keys.BROADCAST_STREAM else str(UUID(owner))
    except ValueError:
        return ""


def read_tombstone(value: bytes) -> Discarded:
    """Who discarded a letter, when and why; empty words where it does not say."""
    try:
        fields = msgspec.json.decode(value)
    except PARSER_ERRORS:
        fields = {}
    fields = fields if isinstance(fields, dict) else {}
    return Discarded(**{name: str(fields.get(name) or "") for name in ("at", "who", "reason")})


def holds(letter: DeadLetter, event_id: UUID) -> bool:
    """Whether a letter that keeps a whole message keeps this event's id in it."""
    sought = str(event_id).encode()
    return bool(letter.raw) and (sought in letter.raw or sought in _body(letter.raw))


def _body(raw: bytes) -> bytes:
    """The body of a queue item; as it was sent, if it is not what its headers say; empty if there is none."""
    try:
        item = msgspec.json.decode(raw)
        body = b64decode(item["body"])
    except (KeyError, TypeError, *PARSER_ERRORS):
        return b""
    headers = item.get("headers")
    try:
        return decompressed(body, headers.get(COMPRESSION_HEADER) if isinstance(headers, dict) else None)
    except DecodeError:
        return body
