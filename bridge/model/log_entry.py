"""``LogEntry``: who did what to which letters and retries, when and why; pure."""

import msgspec


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One operation.

    Attributes:
        at_ms: when, in ms of Redis time.
        who: ``user@host``, or the name of a page's session.
        action: such as ``dead.replay``, ``dead.discard``, ``retries.now``.
        selection: what it was done to, in words.
        numbers: what came of it.
        reason: why; empty if none was asked for.
    """

    at_ms: int = 0
    who: str
    action: str
    selection: str = ""
    numbers: dict[str, int] = {}
    reason: str = ""
