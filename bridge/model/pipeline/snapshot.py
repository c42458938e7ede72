"""Snapshots of events that may be written as JSON later, by another thread: no value changes, and all are writable."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from operator import attrgetter
from typing import Any, Protocol, cast
from uuid import UUID

import msgspec
import uuid6

from bridge.model.pipeline.envelope import wire_names
from bridge.model.pipeline.fit import FieldFit, field_fits, is_written_by_name


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

    It does so if JSON of at most ``size_max`` bytes surely comes of it, and no foreign code can run meanwhile: text,
    numbers of 64 bits, UUIDs, dates, moments in UTC and the like; and if each value fits its field by its type. None
    says nothing against an event: it must be written, and perhaps decoded, to know.

    Returns:
        The taker. It raises what reading the event's attributes raises, and UnicodeEncodeError for a lone surrogate.
    """
    if not is_written_by_name(event_class):
        return lambda _: None
    names = wire_names(event_class)
    values_of: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)
    snapshot_of: Callable[..., Snapshot] = _snapshot_class(names)
    without_text = len(msgspec.json.encode(dict.fromkeys(names.values(), "x" * (VALUE_BYTES - 2))))
    text_max = (size_max - without_text) // CHARACTER_BYTES
    given = {"values_of": values_of, "snapshot_of": snapshot_of, "text_max": text_max}
    return _compiled(tuple(names), field_fits(event_class, aware=True), given)


def _compiled(names: tuple[str, ...], fits: Sequence[FieldFit], given: dict[str, Any]) -> Callable[[Any], Any]:
    """The taker for fields of these names, written out: it runs at each emit, and a loop over the fields costs twice.

    The text holds no values of the event: fields are named by their places.
    """
    known = {**given, "UTC": UTC, "Decimal": Decimal, "moment": _MOMENT["type"], "isfinite": isfinite, "IDS": _IDS}
    lines = ["def take(event):", f"    {_all(names)} = values_of(event)", "    text = 0"]
    for place, (name, fit) in enumerate(zip(names, fits, strict=True)):
        lines.append(f"    kind = type(v{place})")
        if name == "event_id":
            lines.append("    if kind not in IDS: return None")
        elif name == "occurred_at":
            lines.append(f"    if kind is not moment or v{place}.tzinfo is not UTC: return None")
        else:
            lines += _branches(place, fit, known)
    lines.append(f"    return snapshot_of({_all(names)}) if text <= text_max else None")
    exec("\n".join(lines), known)  # noqa: S102
    return cast("Callable[[Any], Any]", known["take"])


def _all(names: tuple[str, ...]) -> str:
    return "".join(f"v{place}, " for place in range(len(names)))


def _branches(place: int, fit: FieldFit, known: dict[str, Any]) -> list[str]:
    """Lines that look at one value: by its type it surely fits, and it can surely be written; otherwise None."""
    value = f"v{place}"
    measure = f"text += len({value} if {value}.isascii() else {value}.encode())"
    cases: list[tuple[str, str]] = []
    if fit.surely(str):
        cases.append(("kind is str", measure))
    simple = frozenset(kind for kind in _ALWAYS_WRITABLE if fit.surely(kind))
    if simple:
        known[f"SIMPLE{place}"] = simple
        cases.append((f"kind in SIMPLE{place}", "pass"))
    if fit.surely(int):
        cases.append((f"kind is int and {-INT_MAX} <= {value} <= {INT_MAX}", "pass"))
    if fit.surely(Decimal):
        cases.append(("kind is Decimal", f"text += len(str({value}))"))
    if fit.surely(_MOMENT["type"]):  # in another time zone it may run code of its own
        cases.append((f"kind is moment and {value}.tzinfo is UTC", "pass"))
    if fit.surely(float):
        cases.append((f"kind is float and isfinite({value})", "pass"))
    for number, (kind, values) in enumerate(fit.literals):
        known[f"KIND{place}_{number}"], known[f"VALUES{place}_{number}"] = kind, values
        then = measure if kind is str else "pass"
        cases.append((f"kind is KIND{place}_{number} and {value} in VALUES{place}_{number}", then))
    lines = [f"    {'elif' if index else 'if'} {when}: {then}" for index, (when, then) in enumerate(cases)]
    return [*lines, "    else: return None"] if lines else ["    return None"]


_ALWAYS_WRITABLE: frozenset[type] = frozenset({UUID, uuid6.UUID, type(None), bool, date})
_IDS = frozenset({UUID, uuid6.UUID})
_MOMENT = {"type": datetime}
"""Out of reach of libraries that freeze the time in tests: they give modules a datetime that nothing can write."""


def _snapshot_class(names: dict[str, str]) -> Callable[..., Any]:
    """What makes a snapshot of values in the order of their names.

    The garbage collector does not look at it, since no value refers to others: while a broker is away there are
    thousands, and to look at these again and again would cost the caller milliseconds.
    """
    fields = [(name, Any) for name in names]
    return msgspec.defstruct("Snapshot", fields, rename=names, frozen=True, eq=False, gc=False)
