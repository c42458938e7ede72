"""``LogEntry``: who did what to which letters and retries, when and why; pure."""

import msgspec


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One operation."""

    at_ms: int = 0  # when, in ms of Redis time
    who: str  # ``user@host``, or the name of a page's session
    action: str  # such as ``dead.redrive.begin``, ``dead.discard``, ``retries.now``
    selection: str = ""  # what it was done to, in words
    numbers: dict[str, int] = {}  # what came of it
    reason: str = ""  # why; empty if none was asked for
