"""What an event log hands over in pages, what a live channel says, and the frames that carry no event; pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from bridge.model.events.sse_event import StreamedEvent
from bridge.model.plain_text import one_line
from bridge.model.position import Position

T = TypeVar("T")


class Heard(NamedTuple):
    """What a live channel said: a message, that a channel is subscribed (no message), or anything else (no channel)."""

    channel: str
    message: bytes | None


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
    limit_bytes: int = 0,
) -> Page:
    """Merge streams, an event that stands in several once; one of which more follows limits how far the page can vouch.

    The page ends where its payloads are more than twice ``limit_bytes``, though not before its second position.

    ``newest`` is the newest position handed out. Of each stream there is what was read, in order, None for an entry
    that is no event of ours; and in ``whole``, whether that is all that follows, up to the end of the page at least.
    """
    cuts = [entries[-1][0] for entries, is_whole in zip(streams, whole, strict=True) if not is_whole]
    # Behind the newest event a stranger's entries may follow. Who read on behind those would take what is published
    # next for had.
    reached = max([newest, *(position for entries in streams for position, event in entries if event)])
    cuts = [cut for cut in cuts if cut <= reached]
    horizon = min(cuts) if cuts else reached
    within = [event for entries in streams for position, event in entries if position <= horizon]
    # A stranger's entry may have the position of one of ours: an event is known by its id, too.
    found = {(event.position, event.event_id): event for event in within if event}
    if full_at := _full_at(found, 2 * limit_bytes):
        horizon = full_at
        cuts.append(full_at)
        within = [event for entries in streams for position, event in entries if position <= horizon]
    return Page(
        events=tuple(found[place] for place in sorted(found) if place[0] <= horizon),
        horizon=horizon,
        complete=complete,
        last=not cuts,
        read_at_ms=read_at_ms,
        malformed=within.count(None),
    )


def _full_at(found: Mapping[tuple[Position, str], StreamedEvent], limit_bytes: int) -> Position | None:
    """The position up to which events fit, and at least the first position's do; None if all do."""
    size_bytes, last = 0, None
    for (position, _), event in sorted(found.items()):
        size_bytes += len(event.payload)
        if last and position != last and size_bytes > limit_bytes:
            return last
        last = position
    return None


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
