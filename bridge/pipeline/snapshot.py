"""Snapshots of events that may be written as JSON later, by another thread: no value changes, and all are writable."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from operator import attrgetter
from typing import Any, Protocol
from uuid import UUID

import msgspec
import uuid6

from bridge.pipeline.envelope import wire_names


class Snapshot(Protocol):
    """The values of an event's fields, by name; each event class has a Struct of its own, written as its events are."""

    event_id: UUID
    occurred_at: datetime


VALUE_BYTES = 38
"""The longest JSON of a value without text: of a UUID."""
CHARACTER_BYTES = 6
"""The longest JSON of a character: of a control character."""
INT_MAX = 2**63 - 1
"""Larger integers can be written, too, but are of any length."""


def snapshot_taker(event_class: type[Any], size_max: int) -> Callable[[Any], Snapshot | None]:
    """What takes the snapshot of an event of that class, in a fraction of the time that writing it takes.

    It does so if JSON of at most ``size_max`` bytes surely comes of it, and nobody's code can run meanwhile: text,
    numbers of 64 bits, UUIDs, dates, moments in UTC and the like. None says nothing against an event: it must be
    written to know.

    Returns:
        The taker. It raises what reading the event's attributes raises, and UnicodeEncodeError for a lone surrogate.
    """
    if not _is_written_by_name(event_class):
        return _none
    names = wire_names(event_class)
    values_of: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)
    snapshot_of: Callable[..., Snapshot] = _snapshot_class(names)
    without_text = len(msgspec.json.encode(dict.fromkeys(names.values(), "x" * (VALUE_BYTES - 2))))
    text_max = (size_max - without_text) // CHARACTER_BYTES
    id_at, time_at = (list(names).index(name) for name in ("event_id", "occurred_at"))

    moment = _MOMENT["type"]

    def take(event: Any) -> Snapshot | None:
        values = values_of(event)
        text = 0
        # A plain loop: with cold caches, which a busy caller has, gathering the values by type costs twice as much.
        for value in values:
            kind = type(value)
            if kind is str:
                text += len(value if value.isascii() else value.encode())
            elif kind is Decimal:
                text += len(str(value))
            elif not (
                kind in _ALWAYS_WRITABLE
                or (kind is int and -INT_MAX <= value <= INT_MAX)
                or (kind is moment and value.tzinfo is UTC)  # any other may run code of its own
                or (kind is float and isfinite(value))
            ):
                return None
        writable = text <= text_max and isinstance(values[id_at], UUID) and type(values[time_at]) is moment
        return snapshot_of(*values) if writable else None

    return take


_ALWAYS_WRITABLE = frozenset({UUID, uuid6.UUID, type(None), bool, date})
_MOMENT = {"type": datetime}
"""Out of reach of libraries that freeze the time in tests: they give modules a datetime that nothing can write."""


def _snapshot_class(names: dict[str, str]) -> Callable[..., Any]:
    """What makes a snapshot of values in the order of their names.

    The garbage collector does not look at it, since no value refers to others: while a broker is away there are
    thousands, and to look at these again and again would cost the caller milliseconds.
    """
    fields = [(name, Any) for name in names]
    return msgspec.defstruct("Snapshot", fields, rename=names, frozen=True, eq=False, gc=False)


def _none(_: object) -> None:
    return None


def _is_written_by_name(event_class: type[Any]) -> bool:
    """Whether an event's JSON is an object of its fields and nothing else.

    A Struct can be set to differ. Of an attrs class private fields are not written, but all else that an instance has.
    """
    if hasattr(event_class, "__attrs_attrs__"):
        names = (field.name for field in event_class.__attrs_attrs__)
        return event_class.__dictoffset__ == 0 and not any(name.startswith("_") for name in names)
    config = getattr(event_class, "__struct_config__", None)
    return config is None or not (config.tag is not None or config.array_like or config.omit_defaults)
