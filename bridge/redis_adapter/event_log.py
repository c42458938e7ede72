"""Reading what a client missed: its own stream and the broadcasts, as one ordered history without gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import cast
from uuid import UUID

import msgspec
import redis.asyncio

from bridge.model.bounds import ENTRY_BYTES_MAX, PARSER_ERRORS, REPLAY_BYTES_MAX
from bridge.model.registry import Id
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.keyspace import seen_owner
from bridge.redis_adapter.script import script
from bridge.settings import Settings

PAGE = 200
"""Entries read from each stream at once."""


@total_ordering
class Position:
    """A place in the order of all events of all streams, written ``<ms>-<seq>``. Immutable.

    Raises:
        ValueError: the text is no position.
    """

    __slots__ = ("_order", "_text")

    def __init__(self, value: str) -> None:
        ms, separator, seq = value.partition("-")
        if not (separator and ms.isascii() and ms.isdigit() and seq.isascii() and seq.isdigit()):
            raise ValueError(f"{value!r} is no position; it is written <ms>-<seq>.")
        self._text = value
        self._order = (int(ms), int(seq))

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Position({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Position) and self._order == other._order

    def __lt__(self, other: "Position") -> bool:
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)


START = Position("0-0")
"""Before everything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamedEvent:
    """A published event as a client gets it.

    Attributes:
        event_id: UUIDv7, the frame's id.
        event_type: wire name.
        payload: one line of JSON.
        position: its place in the order.
    """

    event_id: str
    event_type: str
    payload: str
    position: Position


class _ChannelMessage(msgspec.Struct):
    event_id: UUID
    event_type: str
    data: msgspec.Raw
    position: str


_message_decoder = msgspec.json.Decoder(_ChannelMessage)


def read_message(message: bytes | str) -> StreamedEvent:
    """The event in a pub/sub message.

    Raises:
        ValueError: it is none of ours.
    """
    try:
        if len(message) > ENTRY_BYTES_MAX:
            raise ValueError(f"it has {len(message)} bytes")
        fields = _message_decoder.decode(message)
        return _streamed(str(fields.event_id), fields.event_type, bytes(fields.data).decode(), fields.position)
    except PARSER_ERRORS as error:
        raise ValueError(f"This is no published event: {error}.") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The next events after a position.

    Attributes:
        events: in order, own and broadcast together.
        horizon: everything up to here is in this page or was before it; read on from here.
        complete: False when events after the asked position may be missing for good.
        last: whether this page reaches the newest event.
        read_at_ms: Redis time of this reading.
        malformed: entries that are no events of ours; they are left out.
    """

    events: tuple[StreamedEvent, ...]
    horizon: Position
    complete: bool
    last: bool
    read_at_ms: int = 0
    malformed: int = 0


class History:
    """Looks up and reads what is retained.

    Args:
        client: an asyncio client; stays yours to close.
        settings: retention.
    """

    def __init__(self, client: redis.asyncio.Redis, settings: Settings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._read = script("read")
        self._now = script("now")
        self._known = script("vouch")
        self._stream_ttl_s = settings.stream_ttl_s

    async def locate(self, user_id: Id, event_id: UUID) -> Position | None:
        """Where an event that this user received stands; None if it is unknown or forgotten.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            marks = await self._client.mget(
                self._keys.user_seen(user_id, event_id), self._keys.broadcast_seen(event_id)
            )
        return next((Position(text(mark)) for mark in marks if mark), None)

    async def vouch(self, channel: str, message: bytes) -> bool:
        """Whether Redis still knows an event that was heard on a channel within half the life of a seen mark.

        If not, it was set back, as by a fail-over to a replica that lagged behind. Then the order begins anew, so that
        whoever reads on from an earlier position learns that events may be missing.

        Raises:
            StoreError: Redis is away or refuses.
        """
        event, owner = read_message(message), seen_owner(channel)
        mark = self._keys.user_seen(owner, event.event_id) if owner else self._keys.broadcast_seen(event.event_id)
        with store_errors():
            known = await self._known.run_async(self._client, [str(event.position)], seen=mark)
        return bool(known)

    async def now(self) -> Page:
        """An empty page up to the newest position handed out; in an empty Redis, up to a first one.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            newest, now_ms = await self._now.run_async(self._client)
        return _page(Position(text(newest)), True, int(text(now_ms)))

    async def read(
        self, user_id: Id, after: Position, *, read_at_ms: int = 0, limit_bytes: int = REPLAY_BYTES_MAX
    ) -> Page:
        """The next page after a position, of one moment: nothing before its horizon is missing from it.

        Args:
            user_id: whose stream.
            after: what the client has had.
            read_at_ms: ``Page.read_at_ms`` of the last page that reached the newest event, if there was one.
                Without it a client that heard nothing for as long as a stream lives counts as behind.
            limit_bytes: of each stream at the most, though at least one entry.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            newest, complete, now_ms, *streams = await self._read.run_async(
                self._client,
                [str(after), PAGE, self._stream_ttl_s, read_at_ms, limit_bytes, ENTRY_BYTES_MAX],
                stream=self._keys.user_stream(user_id),
            )
        own, broadcast, *whole = streams
        return _page(Position(text(newest)), bool(complete), int(text(now_ms)), (own, broadcast), whole)


def _page(
    newest: Position,
    complete: bool,
    read_at_ms: int,
    read: Sequence[Sequence[object]] = (),
    whole: Sequence[int] = (),
) -> Page:
    """Merge streams; one of which more follows than was read limits how far the page can vouch."""
    streams = [[_entry(entry) for entry in stream] for stream in read]
    cuts = [entries[-1][0] for entries, is_whole in zip(streams, whole, strict=True) if not is_whole]
    # Behind the newest event a stranger's entries may follow. Who read on behind those would take what is published
    # next for had.
    reached = max([newest, *(position for entries in streams for position, event in entries if event)])
    cuts = [cut for cut in cuts if cut <= reached]
    horizon = min(cuts) if cuts else reached
    within = [event for entries in streams for position, event in entries if position <= horizon]
    events = sorted((event for event in within if event), key=lambda event: event.position)
    return Page(
        events=tuple(events),
        horizon=horizon,
        complete=complete,
        last=not cuts,
        read_at_ms=read_at_ms,
        malformed=within.count(None),
    )


def _entry(entry: object) -> tuple[Position, StreamedEvent | None]:
    """Its position and, unless it was written by a stranger, its event."""
    position, pairs = cast("tuple[bytes | str, list[bytes | str]]", entry)
    try:
        fields = {text(name): text(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
        event_id = str(UUID(fields["event_id"]))
        event = _streamed(event_id, fields["event_type"], fields["data"], text(position))
    except (KeyError, *PARSER_ERRORS):
        return Position(text(position)), None
    return event.position, event


def _streamed(event_id: str, event_type: str, payload: str, position: str) -> StreamedEvent:
    if len(payload) > ENTRY_BYTES_MAX:
        raise ValueError(f"The payload has {len(payload)} characters.")
    if "\n" in payload or "\r" in payload:
        # Legal between JSON tokens, but a line break here would end the SSE field.
        payload = msgspec.json.format(payload, indent=-1)
    return StreamedEvent(event_id=event_id, event_type=event_type, payload=payload, position=Position(position))
