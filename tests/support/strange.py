"""Values, events and JSON that nobody expects, for hypothesis: what a fast path must treat as its slow twin does."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import uuid6
from hypothesis import strategies as st

from bridge import DomainToSSEMapping, Registry, SSEEventMetadata
from bridge.catalogs.finance import REGISTRY as BUILT_IN
from bridge.model.registry.sampling import sample_events

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DAY = MOMENT.date()
USER = UUID(int=7)


class Size(StrEnum):
    SMALL = "small"


class Level(IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class OwnUUID(UUID):
    pass


class OwnDatetime(datetime):
    pass


class OwnDict(dict[str, Any]):
    pass


@dataclass
class Inner:
    number: int = 1


@dataclass(kw_only=True)
class Typed:
    """An event with a field of every kind whose values are judged by their types."""

    event_id: UUID = field(default_factory=uuid6.uuid7)
    occurred_at: datetime = MOMENT
    user_id: UUID = USER
    text: str = ""
    number: int = 0
    maybe: str | None = None
    ratio: float = 0.5
    amount: Decimal = Decimal("1.20")
    day: date = DAY
    anything: Any = None


@dataclass(kw_only=True)
class Chosen(Typed):
    """An event with a field whose values are judged one by one."""

    kind: Literal["a", 1] = "a"


@dataclass(kw_only=True)
class Nested(Chosen):
    """An event with values that need a closer look."""

    size: Size = Size.SMALL

    inner: Inner = field(default_factory=Inner)
    names: list[str] = field(default_factory=list)


class TypedTypes(StrEnum):
    TYPED = "typed.happened"
    CHOSEN = "chosen.happened"
    NESTED = "nested.happened"


OWN = {Typed: TypedTypes.TYPED, Chosen: TypedTypes.CHOSEN, Nested: TypedTypes.NESTED}
REGISTRY = Registry(
    event_types=(*BUILT_IN.event_types, *TypedTypes),
    categories=BUILT_IN.categories,
    events=(
        *BUILT_IN.events,
        *(
            SSEEventMetadata(
                event_type=event_type,
                category=BUILT_IN.categories[0],
                description="It happened.",
                payload_fields=["text", "anything"],
            )
            for event_type in TypedTypes
        ),
    ),
    mappings=(
        *BUILT_IN.mappings,
        *(
            DomainToSSEMapping(
                domain_event_class=event_class,
                sse_event_type=event_type,
                payload_extractor=lambda event: {"text": event.text, "anything": event.anything},
                user_id_extractor=lambda event: event.user_id,
            )
            for event_class, event_type in OWN.items()
        ),
    ),
)
"""The built-in catalog and three classes of our own."""

SAMPLES = tuple(sample.event for mapping in BUILT_IN.mappings for sample in sample_events(mapping.domain_event_class))
"""Every kind of event of the built-in catalog."""

identifiers = st.sampled_from([UUID(int=0), uuid6.uuid7(), OwnUUID(int=7), str(UUID(int=7)), 7, None])
moments = st.sampled_from(
    [
        MOMENT,
        MOMENT.replace(microsecond=0),
        datetime.max.replace(tzinfo=UTC),
        MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30))),
        MOMENT.astimezone(timezone(timedelta(seconds=30))),
        MOMENT.astimezone(ZoneInfo("UTC")),
        MOMENT.astimezone(ZoneInfo("Europe/Berlin")),
        MOMENT.replace(tzinfo=None),
        OwnDatetime(2026, 1, 2, tzinfo=UTC),
        MOMENT.date(),
        MOMENT.isoformat(),
        None,
    ]
)
texts = st.text(max_size=20) | st.sampled_from(["\ud800", "\x00\x1f\x7f", "wört 東京 🚃", "null", 'a"b\\c', "\u2028"])
numbers = (
    st.integers(-5, 5)
    | st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30])
    | st.floats()
    | st.decimals()
)
odd = st.sampled_from(
    [
        Size.SMALL,
        Level.LOW,
        Text("text"),
        b"bytes",
        bytearray(b"bytes"),
        object(),
        object,
        msgspec.UNSET,
        msgspec.Raw(b"[1"),
        msgspec.Raw(b'{"a":1}'),
        Inner(),
        OwnDict(a=1),
        frozenset({1}),
    ]
)
scalars = st.none() | st.booleans() | texts | numbers | identifiers | moments | odd
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5
)
"""Anything that a careless program may put into an event or a payload."""


fitting = st.builds(
    Typed,
    text=texts,
    number=st.integers(),
    maybe=st.none() | texts,
    ratio=st.floats(),
    amount=st.decimals(),
    anything=scalars,
)
"""Events whose values are of the right types, and still strange."""


@st.composite
def events(draw: st.DrawFn) -> Any:
    """An event of the catalog, or one with a field of every kind; sometimes with values that do not fit."""
    if draw(st.integers(0, 2)) == 0:
        return draw(fitting)
    event = draw(st.sampled_from([*SAMPLES, Typed(), Chosen(), Nested()]))
    names = draw(st.lists(st.sampled_from([field.name for field in fields(event)]), max_size=2, unique=True))
    changes = {name: draw(_of_field(name)) for name in names}
    return replace(event, **changes)


def _of_field(name: str) -> st.SearchStrategy[Any]:
    return {"event_id": identifiers, "occurred_at": moments}.get(name, values)


ODD_NUMBER = 424242
_WHOLE_ODD_NUMBER = re.compile(rf"(?<![\w.+-]){ODD_NUMBER}(?![\w.])")  # not within the digits of another
spellings = st.sampled_from(
    ["1e400", "-1e400", "-0", "-0.0", "1E2", "1.0", "1e-400", "9" * 40, "9" * 5000, "0.1" + "0" * 400]
)
"""How JSON may spell a number; one of them takes the place of ODD_NUMBER."""

plain_json = st.recursive(
    st.none() | st.booleans() | st.just(ODD_NUMBER) | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def envelopes(draw: st.DrawFn, written: Sequence[bytes], *, lawless: bool = True) -> bytes:
    """One of the envelopes as it was written, or spoilt: members and fields that are missing, added or changed.

    Args:
        draw: hypothesis'.
        written: envelopes.
        lawless: whether a member may occur twice, and a number be beyond a double's: of both JSON says that they have
            no certain meaning, and parsers differ.
    """
    members = json.loads(draw(st.sampled_from(written)))
    changes = draw(st.lists(st.sampled_from(["drop", "add", "change", "data", "time", "id"]), max_size=2))
    for change in changes:
        where = members["data"] if change == "data" and isinstance(members.get("data"), dict) else members
        name = draw(st.sampled_from([*where, "traceparent", "extra", "ähm"]))
        match change:
            case "drop":
                where.pop(name, None)
            case "time":
                members["time"] = draw(st.sampled_from(["2026-01-02T03:04:05+05:30", "2026-01-02T03:04:05", "now", 1]))
            case "id":
                members["id"] = draw(st.sampled_from([str(UUID(int=1)), str(UUID(int=1)).upper(), "id", None]))
            case _:
                where[name] = draw(plain_json)
    spaced = draw(st.booleans())
    text = json.dumps(members, ensure_ascii=draw(st.booleans()), separators=None if spaced else (",", ":"))
    if lawless and draw(st.booleans()):
        name, value = draw(st.sampled_from(list(members) or ["id"])), draw(plain_json)
        text = f"{text[:-1]},{json.dumps(name)}:{json.dumps(value)}}}"
    spelling = draw(spellings if lawless else spellings.filter(lambda one: len(one) < 1000 and "1e400" not in one))
    return _WHOLE_ODD_NUMBER.sub(spelling, text).encode("utf-8", "surrogatepass")
