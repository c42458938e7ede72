"""What an event log hands over (positions, events, pages), what a channel says, and the frames of clients; pure."""

import json
from collections.abc import Mapping, Sequence
from functools import total_ordering
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from bridge.model.bounds import ENTRY_BYTES_MAX, PARSER_ERRORS
from bridge.model.plain_text import one_line

T = TypeVar("T")


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


class StreamedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A published event as a client gets it."""

    event_id: str  # UUIDv7, the frame's id
    event_type: str  # wire name
    payload: str  # one line of JSON
    position: Position  # its place in the order

    @classmethod
    def of(cls, event_id: str, event_type: str, payload: str, position: str) -> "StreamedEvent":
        """An event whose payload came from outside, on one line.

        Raises:
            ValueError: the payload is too large, or the position is none.
        """
        if len(payload) > ENTRY_BYTES_MAX:
            raise ValueError(f"The payload has {len(payload)} characters.")
        if "\n" in payload or "\r" in payload:
            # Legal between JSON tokens, but a line break here would end the SSE field.
            payload = msgspec.json.format(payload, indent=-1)
        return cls(event_id=event_id, event_type=event_type, payload=payload, position=Position(position))

    def to_sse_format(self) -> str:
        """As ``SSEEvent.to_sse_format``."""
        return event_frame(self.event_id, self.event_type, self.payload)


def event_frame(event_id: UUID | str, event_type: str, payload_json: str) -> str:
    """One event as a frame: id line, event line, one data line, empty line.

    Nothing can inject a field: ids are UUIDs, types are a registry's or look like one's, JSON was put on one line.
    """
    return f"id: {event_id}\nevent: {event_type}\ndata: {payload_json}\n\n"


class Heard(NamedTuple):
    """What a live channel said: a message, that a channel is subscribed (no message), or anything else (no channel)."""

    channel: str
    message: bytes | None


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
        return StreamedEvent.of(str(fields.event_id), fields.event_type, bytes(fields.data).decode(), fields.position)
    except PARSER_ERRORS as error:
        raise ValueError(f"This is no published event: {error}.") from error


def read_entry(fields: Mapping[str, str], position: str) -> StreamedEvent:
    """The event in a stream's entry.

    Raises:
        KeyError: it is none of ours.
        ValueError: the same.
    """
    return StreamedEvent.of(str(UUID(fields["event_id"])), fields["event_type"], fields["data"], position)


class PageOf(msgspec.Struct, Generic[T], frozen=True, kw_only=True, weakref=True):
    """The next events after a position."""

    events: tuple[T, ...]  # in order, own and broadcast together; in a gateway as what is sent of each
    horizon: Position  # everything up to here is in this page or was before it; read on from here
    complete: bool  # False when events after the asked position may be missing for good
    last: bool  # whether this page reaches the newest event
    read_at_ms: int = 0  # Redis time of this reading
    malformed: int = 0  # entries that are no events of ours; they are left out


Page = PageOf[StreamedEvent]


def page_of(
    newest: Position,
    streams: Sequence[Sequence[tuple[Position, StreamedEvent | None]]] = (),
    whole: Sequence[object] = (),
    *,
    complete: bool,
    read_at_ms: int,
) -> Page:
    """Merge streams; one of which more follows than was read limits how far the page can vouch.

    ``newest`` is the newest position handed out. Of each stream there is what was read, in order, None for an entry
    that is no event of ours; and in ``whole``, whether that is all that follows.
    """
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


# Frames that carry no event, as the HTML standard defines them. Nothing can inject a field: JSON escapes every line
# break and control character, and comments are made one line.
# Source: https://html.spec.whatwg.org/multipage/server-sent-events.html

RESET_EVENT = "stream.reset"
"""The control event that says: events may be missing before this point."""


def reset_frame(reason: str) -> str:
    """Tell the client that it may have missed events. Carries no id, so its position stays.

    Args:
        reason: ``unknown_id`` (the id was never seen, or is forgotten), ``trimmed`` (events after it
            are no longer retained) or ``not_retained`` (this bridge keeps no history).
    """
    return f"event: {RESET_EVENT}\ndata: {json.dumps({'reason': reason})}\n\n"


def comment_frame(text: str) -> str:
    """A comment, which clients ignore; used as heartbeat. ``text`` may be anybody's, and becomes one line.

    No empty line: at each one many clients show their application an event, if an empty one.
    """
    return f": {one_line(text)}\n"


def retry_frame(delay_ms: int, position: str = "") -> str:
    """Tell the client how long to wait before it reconnects.

    A position becomes the client's id until its first event. That takes an empty line, at which a browser shows
    nothing, as there is no data, and some clients an empty event. The delay alone takes none.
    """
    return f"retry: {delay_ms}\n" + (f"id: {position}\n\n" if position else "")
