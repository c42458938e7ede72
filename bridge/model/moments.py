"""Moments of Redis' clock as people read them."""

from datetime import UTC, datetime

LAST_MS = 253_402_300_799_999
"""The end of the year 9999, which is the last that has a date."""


def shown_time(at_ms: int) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
