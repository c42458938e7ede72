"""Reading what a client missed: its own stream and the broadcasts, as one ordered history without gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import cast
from uuid import UUID

import msgspec
import redis.asyncio

from bridge.settings import Settings
from bridge.store import keys
from bridge.store.client import script_text, store_errors, text

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
        fields = _message_decoder.decode(message)
    except msgspec.MsgspecError as error:
        raise ValueError(f"This is no published event: {error}.") from error
    return _streamed(str(fields.event_id), fields.event_type, bytes(fields.data).decode(), fields.position)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The next events after a position.

    Attributes:
        events: in order, own and broadcast together.
        horizon: everything up to here is in this page or was before it; read on from here.
        complete: False when events after the asked position may be missing for good.
        last: whether this page reaches the newest event.
    """

    events: tuple[StreamedEvent, ...]
    horizon: Position
    complete: bool
    last: bool


class History:
    """Looks up and reads what is retained.

    Args:
        client: an asyncio client; stays yours to close.
        settings: retention.
    """

    def __init__(self, client: redis.asyncio.Redis, settings: Settings) -> None:
        self._client = client
        self._read = client.register_script(script_text("read"))
        self._stream_ttl_s = settings.stream_ttl_s

    async def locate(self, user_id: UUID, event_id: UUID) -> Position | None:
        """Where an event that this user received stands; None if it is unknown or forgotten.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            marks = await self._client.mget(keys.user_seen(user_id, event_id), keys.broadcast_seen(event_id))
        return next((Position(text(mark)) for mark in marks if mark), None)

    async def now(self) -> Position:
        """The newest position handed out.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            newest = await self._client.get(keys.POSITION)
        return Position(text(newest)) if newest else START

    async def read(self, user_id: UUID, after: Position) -> Page:
        """The next page after a position, of one moment: nothing before its horizon is missing from it.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            newest, complete, own, broadcast = await self._read(
                keys=[keys.user_stream(user_id), keys.BROADCAST_STREAM, keys.POSITION, keys.BROADCAST_TIP],
                args=[str(after), PAGE, self._stream_ttl_s],
            )
        return _page(Position(text(newest)), bool(complete), own, broadcast)


def _page(newest: Position, complete: bool, own: Sequence[object], broadcast: Sequence[object]) -> Page:
    """Merge two streams; a stream that was cut at ``PAGE`` entries limits how far the page can vouch."""
    streams = [[_entry(entry) for entry in stream] for stream in (own, broadcast)]
    cuts = [events[-1].position for events in streams if len(events) >= PAGE]
    horizon = min(cuts, default=newest)
    events = sorted((event for events in streams for event in events), key=lambda event: event.position)
    if cuts:
        events = [event for event in events if event.position <= horizon]
    elif events:
        horizon = max(horizon, events[-1].position)
    return Page(events=tuple(events), horizon=horizon, complete=complete, last=not cuts)


def _entry(entry: object) -> StreamedEvent:
    position, pairs = cast("tuple[bytes | str, list[bytes | str]]", entry)
    fields = {text(name): text(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
    return _streamed(fields["event_id"], fields["event_type"], fields["data"], text(position))


def _streamed(event_id: str, event_type: str, payload: str, position: str) -> StreamedEvent:
    if "\n" in payload or "\r" in payload:
        # Legal between JSON tokens, but a line break here would end the SSE field.
        payload = msgspec.json.format(payload, indent=-1)
    return StreamedEvent(event_id=event_id, event_type=event_type, payload=payload, position=Position(position))
