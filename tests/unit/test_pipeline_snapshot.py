"""Snapshots: what is written of them later is what would have been written at once, or there is none."""

import gc
import json
from dataclasses import dataclass, field, make_dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid6 import uuid7

from bridge.catalogs.finance import REGISTRY
from bridge.model.pipeline import EventCodec, Snapshot, snapshot_taker
from bridge.model.registry.sampling import sample_event
from tests.support.naming import shown

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SIZE_MAX = 65_536


class Size(StrEnum):
    SMALL = "small"


class Text(str):
    __slots__ = ()


@dataclass(kw_only=True)
class Changeable:
    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime = MOMENT
    value: Any = None


@attrs.define(kw_only=True)
class AsAttrs:
    event_id: UUID
    occurred_at: datetime
    value: Any = None


@attrs.define(kw_only=True)
class WithPrivateField(AsAttrs):
    _private: int = 1


@attrs.define(kw_only=True, slots=False)
class WithRoomForMore(AsAttrs):
    pass


class AsStruct(msgspec.Struct, kw_only=True, rename={"value": "wört"}):
    event_id: UUID
    occurred_at: datetime
    value: Any = None


class Tagged(AsStruct, tag=True):
    pass


class TaggedWithZero(AsStruct, tag=0):
    pass


class AsArray(AsStruct, array_like=True):
    pass


class WithoutDefaults(AsStruct, omit_defaults=True):
    pass


def snapshot(event: Any, size_max: int = SIZE_MAX) -> Snapshot | None:
    return snapshot_taker(type(event), size_max)(event)


def is_written_the_same(event: Any, taken: Snapshot) -> bool:
    codec = EventCodec(type(event))
    at_once = codec.encode(event, source="shop")  # whose members may stand in another order
    return parsed(codec.wrap(taken, taken.event_id, taken.occurred_at, source="shop")) == parsed(at_once)


def parsed(envelope: bytes) -> Any:
    """An envelope with its numbers as they are written."""
    return json.loads(envelope, parse_int=str, parse_float=str)


PLAIN = [
    None,
    True,
    0,
    -(2**63) + 1,
    2**63 - 1,
    1.5,
    -0.0,
    1.7976931348623157e308,
    "",
    "wört 東京 🚃",
    "\x1f" * 100,
    'text with "quotes", \\ and \x00',
    Decimal("-10.20"),
    Decimal("1E+400"),
    Decimal("NaN"),
    UUID(int=0),
    UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
    date(2026, 1, 2),
    MOMENT,
    datetime.min.replace(tzinfo=UTC),
]

NOT_PLAIN = [
    2**63,
    -(2**63),
    10**5000,
    float("nan"),
    float("inf"),
    Text("text"),
    Size.SMALL,
    MOMENT.replace(tzinfo=None),
    MOMENT.astimezone(timezone(timedelta(hours=1))),
    b"bytes",
    [],
    (),
    {},
    object(),
]


@pytest.mark.parametrize("mapping", REGISTRY.mappings, ids=lambda mapping: mapping.domain_event_class.__name__)
def test_every_event_of_the_catalog_can_wait(mapping: Any) -> None:
    event = sample_event(mapping.domain_event_class)
    taken = snapshot(event)
    assert taken is not None
    assert is_written_the_same(event, taken)


@pytest.mark.parametrize("value", PLAIN, ids=shown)
@pytest.mark.parametrize("event_class", [Changeable, AsAttrs, AsStruct])
def test_a_plain_value_is_written_later_as_it_would_have_been_at_once(event_class: type[Any], value: object) -> None:
    event = event_class(event_id=uuid7(), occurred_at=MOMENT, value=value)
    taken = snapshot(event)
    assert taken is not None
    assert is_written_the_same(event, taken)


@pytest.mark.parametrize("value", NOT_PLAIN, ids=lambda value: type(value).__name__)
def test_what_might_change_or_be_refused_cannot_wait(value: object) -> None:
    assert snapshot(Changeable(value=value)) is None


@pytest.mark.parametrize(
    "change",
    [{"event_id": None}, {"event_id": str(UUID(int=7))}, {"occurred_at": None}, {"occurred_at": MOMENT.date()}],
    ids=shown,
)
def test_an_event_without_a_sound_id_or_time_cannot_wait(change: dict[str, Any]) -> None:
    assert snapshot(replace(Changeable(), **change)) is None


@pytest.mark.parametrize(
    "event_class", [Tagged, TaggedWithZero, AsArray, WithoutDefaults, WithPrivateField, WithRoomForMore]
)
def test_a_class_that_is_not_written_by_all_its_fields_alone_cannot_wait(event_class: type[Any]) -> None:
    assert snapshot(event_class(event_id=uuid7(), occurred_at=MOMENT)) is None


def test_a_frozen_time_of_tests_is_no_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeDatetime(datetime):
        pass

    monkeypatch.setattr("bridge.model.pipeline.snapshot.datetime", FakeDatetime)
    take = snapshot_taker(Changeable, SIZE_MAX)
    assert take(Changeable(occurred_at=FakeDatetime(2026, 1, 2, tzinfo=UTC))) is None
    assert take(Changeable()) is not None


def test_a_lone_surrogate_is_noticed_at_once() -> None:
    with pytest.raises(UnicodeEncodeError):
        snapshot(Changeable(value="\ud800"))


def test_what_happens_to_the_event_later_does_not_matter() -> None:
    event = Changeable(value="before")
    taken = snapshot(event)
    event.value = "after"
    assert taken is not None
    envelope = EventCodec(Changeable).wrap(taken, taken.event_id, taken.occurred_at, source="shop")
    assert json.loads(envelope)["data"]["value"] == "before"


def test_the_garbage_collector_has_nothing_to_do_with_what_waits() -> None:
    assert not gc.is_tracked(snapshot(Changeable(value="text")))


texts = st.text(st.characters(codec="utf-8"), max_size=300) | st.text("\x1f", max_size=300)
numbers = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.uuids() | numbers


names = st.from_regex(r"[a-zä]{1,8}", fullmatch=True)


@given(st.dictionaries(names, texts | scalars, max_size=6))
def test_what_waits_never_turns_out_too_large(values: dict[str, object]) -> None:
    fields = [("event_id", UUID), ("occurred_at", datetime), *((f"field_{name}", Any) for name in values)]
    event_class = make_dataclass("Made", fields)
    event = event_class(uuid7(), MOMENT, *values.values())
    size = len(EventCodec(event_class).write(event))
    assert snapshot(event, size - 1) is None
    assert snapshot(event, 10 * size) is not None


@pytest.mark.parametrize("value", PLAIN, ids=shown)
def test_no_value_is_longer_than_is_reckoned_with(value: object) -> None:
    one = make_dataclass("One", [("event_id", UUID), ("occurred_at", datetime), ("value", Any)])
    event = one(UUID(int=0), MOMENT, value)
    assert snapshot(event, len(EventCodec(one).write(event)) - 1) is None


def test_an_event_of_a_usual_size_waits() -> None:
    assert snapshot(Changeable(value="x" * 10_000)) is not None
    assert snapshot(Changeable(value="x" * 60_000)) is None
