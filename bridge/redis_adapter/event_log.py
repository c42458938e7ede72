"""What clients are told: read as one history without gaps, heard as it is published, and looked up for operators."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bridge.model.bounds import ENTRY_BYTES_MAX, PARSER_ERRORS, REPLAY_BYTES_MAX
from bridge.model.event_log import Heard, Page, page_of
from bridge.model.events.sse_event import StreamedEvent, read_entry, read_message
from bridge.model.position import Position
from bridge.model.registry import EVERYONE, Address, Retention
from bridge.model.registry.addresses import heard
from bridge.ports.events import Destination, PastEvent, Publication, Sighting
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.errors import REDIS_TROUBLES, store_error
from bridge.redis_adapter.script import OfStore, script
from bridge.settings import RetentionSettings

PAGE = 200
"""Entries read from each stream at once."""
CONNECTION_NAME = "bridge-gateway-hub"
"""As CLIENT LIST shows it."""
MARKS_A_STEP = 1000


class History:
    """``bridge.ports.EventLog`` on Redis. The asyncio client stays its owner's to close."""

    def __init__(self, client: redis.asyncio.Redis, settings: RetentionSettings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._stream_ttl_s = settings.stream_ttl_s

    async def locate(self, addresses: Sequence[Address], event_id: UUID) -> Position | None:
        """One MGET of the seen marks; None once they have expired (``seen_life_s``)."""
        with store_errors():
            marks = await self._client.mget([self._keys.seen(one, event_id) for one in heard(addresses)])
        return min((position for mark in marks if (position := _position(mark)) is not None), default=None)

    async def vouch(self, channel: str, message: bytes) -> bool:
        """As ``bridge.ports.EventLog.vouch``; set back as by a fail-over to a replica that lagged behind."""
        event = read_message(message)
        mark = self._keys.mark_of_message(channel, event.event_id)
        with store_errors():
            known = await script("vouch").run_async(self._client, [str(event.position)], seen=mark)
        return bool(known)

    async def now(self) -> Page:
        """One script call; in an empty Redis it begins the order of positions."""
        with store_errors():
            newest, now_ms = await script("now").run_async(self._client)
        return page_of(Position(text(newest)), complete=True, read_at_ms=int(text(now_ms)))

    async def read(
        self, addresses: Sequence[Address], after: Position, *, read_at_ms: int = 0, limit_bytes: int = REPLAY_BYTES_MAX
    ) -> Page:
        """One script call, bounded by PAGE entries of two streams, and by bytes; changes nothing."""
        with store_errors():
            newest, complete, now_ms, streams, whole = await script("read").run_async(
                self._client,
                [str(after), PAGE, self._stream_ttl_s, read_at_ms, limit_bytes, ENTRY_BYTES_MAX],
                [self._keys.stream(one) for one in heard(addresses)],
            )
        entries = [[_entry(entry) for entry in stream] for stream in streams]
        return page_of(
            Position(text(newest)),
            entries,
            whole,
            complete=bool(complete),
            read_at_ms=int(text(now_ms)),
            limit_bytes=limit_bytes,
        )


def _position(mark: Any) -> Position | None:
    """What a seen mark says; None for none, and for one that a stranger wrote."""
    with suppress(ValueError):
        return Position(text(mark or b""))
    return None


def _entry(entry: object) -> tuple[Position, StreamedEvent | None]:
    """Its position and, unless it was written by a stranger, its event."""
    position, pairs = cast("tuple[bytes | str, list[bytes | str]]", entry)
    try:
        words = [word.decode() if isinstance(word, bytes) else word for word in pairs]
        fields = dict(zip(words[::2], words[1::2], strict=True))
        event = read_entry(fields, text(position))
    except (KeyError, *PARSER_ERRORS):
        return Position(text(position)), None
    return event.position, event


_OTHER = Heard("", None)


class LiveSubscription:
    """One connection, from ``open`` to the first trouble; made anew after it.

    It is made as the client's are; that stays its owner's to close.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._pool = client.connection_pool
        self._lost_masters = 0
        self._connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        self._connection.client_name = CONNECTION_NAME
        # Every reconnect must be its reader's, or a gap would go unnoticed.
        self._connection.retry = Retry(NoBackoff(), 0)

    async def open(self) -> None:
        """Connect, by a master's present address behind sentinels; subscribes to nothing yet."""
        with store_errors():
            await self._connection.connect()  # type: ignore[no-untyped-call]
        self._lost_masters = getattr(self._pool, "lost_masters", 0)

    async def send(self, verb: str, *channels: str) -> None:
        """Write one command; its confirmations come from ``hear``."""
        with store_errors():
            await self._connection.send_command(verb, *channels, check_health=False)

    async def hear(self, timeout_s: float) -> Heard | None:
        """The next reply; raises as soon as the pool knows that this server is no master any more."""
        try:
            reply = await self._connection.read_response(timeout=timeout_s, disconnect_on_error=False)
            if getattr(self._pool, "lost_masters", 0) != self._lost_masters:
                raise redis.ConnectionError("The server is no master any more")
        except REDIS_TROUBLES as error:  # no context manager, which would cost as much as the rest
            raise store_error(error) from error
        match reply:
            case None:
                return None
            case [b"message", bytes(channel), bytes(message)]:
                return Heard(channel.decode(errors="replace"), message)
            case [b"subscribe", bytes(channel), _]:
                return Heard(channel.decode(errors="replace"), None)
        return _OTHER

    async def close(self) -> None:
        """Drop the connection without a wait for the other end. Idempotent; never raises."""
        with suppress(*REDIS_TROUBLES):
            await self._connection.disconnect(nowait=True)


class PublishedEvents(OfStore):
    """``bridge.ports.Publications`` on Redis."""

    def __init__(self, client: redis.Redis, settings: RetentionSettings) -> None:
        super().__init__(client)
        self._keeps_history = settings.stream_ttl_s > 0

    def look_up(self, events: Sequence[tuple[Destination, UUID]]) -> list[Sighting]:
        """One round trip, and one more for each event that was published."""
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            for destination, event_id in events:
                for stream, address in self._streams(destination):
                    pipeline.get(self._keys.seen(address, event_id))
                    pipeline.type(stream)
            answers = iter(pipeline.execute(raise_on_error=False))
            return [
                self._sighting([(stream, next(answers), next(answers)) for stream, _ in self._streams(destination)])
                for destination, _ in events
            ]

    def _sighting(self, told: Sequence[tuple[str, Any, Any]]) -> Sighting:
        """Of each address its stream, the mark, and what the stream's key holds."""
        refusals = [str(mark) for _, mark, _ in told if isinstance(mark, redis.ResponseError)]
        for stream, mark, _ in told:
            if isinstance(mark, bytes | str):
                entries = self._at(stream, text(mark))
                return Sighting(published=True, payload=entries[0][1].get(b"data", b"") if entries else b"")
        if self._keeps_history:
            kinds = [kind for _, _, kind in told if kind not in (b"none", b"stream")]
            refusals += [f"Its stream's key holds a {text(kind)}." for kind in kinds]
        return Sighting(refusal=refusals[0] if refusals else "")

    def newest(self, address: Address, limit: int, *, retention: Retention | None = None) -> Iterator[PastEvent]:
        """One XREVRANGE; entries that strangers wrote are passed over."""
        ((stream, _),) = self._streams(Destination(addresses=(address,), retention=retention))
        with store_errors():
            entries: Any = self._client.xrevrange(stream, count=limit)
        for _, fields in entries:
            with suppress(KeyError, *PARSER_ERRORS):
                yield PastEvent(
                    event_id=text(fields[b"event_id"]),
                    event_type=text(fields[b"event_type"]),
                    occurred_at=datetime.fromisoformat(text(fields[b"occurred_at"])),
                    payload=fields[b"data"],
                )

    def find(self, event_id: UUID, address: Address | None = None) -> Iterator[Publication]:
        """With an address two marks are read; without, SCAN goes through all keys in steps of MARKS_A_STEP."""
        with store_errors():
            if address is not None:
                marks = {self._keys.seen(one, event_id) for one in (address, EVERYONE)}
            else:
                found = self._client.scan_iter(match=self._keys.seen_marks(event_id), count=MARKS_A_STEP)
                marks = {text(key) for key in found}
            classes: Any = self._client.hkeys(self._keys.RETENTIONS) if marks else ()
            for mark in sorted(marks):
                position = cast("bytes | None", self._client.get(mark))
                named = self._keys.told_by(mark)
                if position is not None and named:
                    yield self._publication(mark, *named, text(position), [text(one) for one in classes])

    def _publication(self, mark: str, address: str, stream: str, position: str, classes: Sequence[str]) -> Publication:
        streams = [stream, *(f"{stream}:{name}" for name in classes)]
        kept = any(self._at(one, position) for one in streams)
        return Publication(position=position, address=address, seen_key=mark, in_stream=kept)

    def _at(self, stream: str, position: str) -> list[Any]:
        """The entry that a seen mark tells of; none for a mark that a stranger wrote."""
        try:
            place = str(Position(position))
        except ValueError:
            return []
        return cast("list[Any]", self._client.xrange(stream, place, place))

    def published(self, event_ids: Collection[str]) -> frozenset[str]:
        """SCAN through all keys for seen marks, in steps of MARKS_A_STEP."""
        with store_errors():
            return frozenset(
                event_id
                for key in self._client.scan_iter(match=self._keys.seen_marks(), count=MARKS_A_STEP)
                if (event_id := text(key).rpartition(":")[2]) in event_ids
            )

    def _streams(self, destination: Destination) -> Iterator[tuple[str, Address]]:
        """The stream that each address has of an event's class."""
        suffix = f":{destination.retention.name}" if destination.retention else ""
        return ((self._keys.stream(address) + suffix, address) for address in destination.addresses)
