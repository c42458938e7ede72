"""What the operators' commands share: opening the books, times and foreign text on a terminal."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bridge.model.errors import StoreError
from bridge.settings import Settings
from bridge.settings.shown_url import shown_url

if TYPE_CHECKING:
    import redis


@contextmanager
def open_books(settings: Settings) -> Iterator["redis.Redis"]:
    """A connection to the store.

    Raises:
        StoreError: it does not answer, or refuses; names the place.
    """
    from bridge.redis_adapter import connect

    with named_store(settings), connect(settings) as client:
        yield client


@contextmanager
def named_store(settings: Settings) -> Iterator[None]:
    """Have a store that does not answer named, with what to do.

    Raises:
        StoreError: in place of one that names no place.
    """
    try:
        yield
    except StoreError as error:
        place = shown_url(settings.store_url)
        raise type(error)(
            f"The books at {place} cannot be read. Check that Redis runs and that BRIDGE_REDIS_URL or "
            f"BRIDGE_BROKER_URL is right. {error}"
        ) from error


def moment(at_ms: int) -> str:
    """A time of Redis as people read it; RFC 3339, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """A length of time in its largest fitting unit."""
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def plain(text: str) -> str:
    """Foreign text for a terminal: on one line, and without control characters."""
    return text if text.isprintable() else json.dumps(text)
