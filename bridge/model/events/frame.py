"""SSE frames that carry no event, as the HTML standard defines them; an event writes its own.

Nothing can inject a field: JSON escapes every line break and control character, and comments are made one line.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json

from bridge.model.plain_text import one_line

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
