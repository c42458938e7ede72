"""Moments of Redis' clock as people read them."""

from datetime import UTC, datetime


def shown_time(at_ms: int) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
