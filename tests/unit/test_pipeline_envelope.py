"""EventCodec and Envelope: any event class goes in and comes out; what does not fit is refused."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import attrs
import msgspec
import pytest
from uuid6 import uuid7

from bridge.catalogs.finance import REGISTRY
from bridge.model.errors import DecodeError, PayloadError
from bridge.model.pipeline import Envelope, EventCodec
from bridge.model.pipeline.envelope import LEVELS_MAX, encode_raw, levels_of, read_envelope
from bridge.model.registry.sampling import sample_event
from tests.support.naming import shown

EVENT_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Size(StrEnum):
    SMALL = "small"


class Line(msgspec.Struct):
    article: str
    price: Decimal


@dataclass(frozen=True, kw_only=True)
class AsDataclass:
    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime
    user_id: UUID | None = None
    size: Size = Size.SMALL
    price: Decimal = Decimal("9.90")
    weight_kg: float = 1.5
    lines: tuple[Line, ...] = (Line("tea", Decimal("0.10")),)
    notes: dict[str, Any] = field(default_factory=dict)


@attrs.frozen(kw_only=True)
class AsAttrs:
    event_id: UUID
    occurred_at: datetime
    price: Decimal = Decimal("9.90")
    size: Size = Size.SMALL


class AsStruct(msgspec.Struct, frozen=True, kw_only=True):
    event_id: UUID
    occurred_at: datetime
    price: Decimal = Decimal("9.90")
    lines: list[Line] = []


class AsCamelStruct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    event_id: UUID
    occurred_at: datetime
    order_number: int


SAMPLES = [
    *(sample_event(mapping.domain_event_class) for mapping in REGISTRY.mappings),
    AsDataclass(occurred_at=MOMENT, notes={"a": [1, None, "x"]}),
    AsAttrs(event_id=EVENT_ID, occurred_at=MOMENT),
    AsStruct(event_id=EVENT_ID, occurred_at=MOMENT, lines=[Line("tea", Decimal("0.10"))]),
    AsCamelStruct(event_id=EVENT_ID, occurred_at=MOMENT, order_number=7),
]


def raw_of(event: Any) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(EventCodec(type(event)).encode(event, source="shop"))
    return raw


def a_raw(**changes: Any) -> dict[str, Any]:
    return raw_of(AsDataclass(event_id=EVENT_ID, occurred_at=MOMENT)) | changes


def decode(raw: object, event_class: type[Any] = AsDataclass) -> Any:
    return EventCodec(event_class).decode(json.dumps(raw).encode())


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_comes_out_as_it_went_in(event: Any) -> None:
    again = decode(raw_of(event), type(event))
    assert again == event
    assert type(again) is type(event)


def test_the_envelope_is_cloudevents_with_the_events_own_id_type_and_time() -> None:
    raw = raw_of(AsAttrs(event_id=EVENT_ID, occurred_at=MOMENT))
    assert raw == {
        "specversion": "1.0",
        "id": str(EVENT_ID),
        "source": "shop",
        "type": "AsAttrs",
        "time": "2026-01-02T03:04:05.678901Z",
        "data": raw["data"],
    }
    assert (raw["data"]["price"], raw["data"]["size"]) == ("9.90", "small")


def test_a_renamed_struct_travels_under_its_wire_names() -> None:
    raw = raw_of(AsCamelStruct(event_id=EVENT_ID, occurred_at=MOMENT, order_number=7))
    assert raw["data"].keys() == {"eventId", "occurredAt", "orderNumber"}


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_id_and_time_may_be_left_out_of_the_data(event: Any) -> None:
    raw = raw_of(event)
    for name in ("event_id", "occurred_at", "eventId", "occurredAt"):
        raw["data"].pop(name, None)
    assert decode(raw, type(event)) == event


def test_id_and_time_of_the_envelope_win_over_the_data() -> None:
    raw = a_raw()
    raw["data"] |= {"event_id": "nonsense", "occurred_at": 17}
    event = decode(raw)
    assert (event.event_id, event.occurred_at) == (EVENT_ID, MOMENT)


def test_fields_nobody_knows_are_ignored_in_envelope_and_data() -> None:
    raw = a_raw(datacontenttype="application/json", unheard_of=[1])
    raw["data"]["added_by_a_newer_producer"] = {"x": 1}
    assert decode(raw).event_id == EVENT_ID


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": "huge"}, r"\$\.size"),
        ({"price": "cheap"}, r"\$\.price"),
        ({"price": None}, r"\$\.price"),
        ({"weight_kg": "1.5"}, r"\$\.weight_kg"),
        ({"user_id": 5}, r"\$\.user_id"),
        ({"user_id": "nobody"}, r"\$\.user_id"),
        ({"lines": {}}, r"\$\.lines"),
        ({"lines": [{"article": "tea"}]}, r"price.*\$\.lines\[0\]"),
    ],
    ids=shown,
)
def test_data_of_a_wrong_type_is_refused_by_field(change: dict[str, Any], named: str) -> None:
    raw = a_raw()
    raw["data"] |= change
    with pytest.raises(DecodeError, match=f"The data does not fit AsDataclass: .*{named}"):
        decode(raw)


def test_a_missing_field_is_refused_by_name() -> None:
    raw = raw_of(AsCamelStruct(event_id=EVENT_ID, occurred_at=MOMENT, order_number=7))
    del raw["data"]["orderNumber"]
    with pytest.raises(DecodeError, match="orderNumber"):
        decode(raw, AsCamelStruct)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": "17"}, "id"),
        ({"id": None}, "id"),
        ({"source": 5}, "source"),
        ({"type": None}, "type"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-01-02T03:04:05"}, "time"),
        ({"time": 17}, "time"),
        ({"data": []}, "data"),
        ({"data": "text"}, "data"),
        ({"traceparent": 1}, "traceparent"),
    ],
    ids=shown,
)
def test_a_broken_envelope_is_refused_by_field(change: dict[str, Any], named: str) -> None:
    with pytest.raises(DecodeError, match=rf"no CloudEvents 1\.0 envelope: .*`\$\.{named}`"):
        read_envelope(json.dumps(a_raw() | change).encode())


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type", "time", "data"])
def test_an_envelope_without_a_required_field_is_refused(missing: str) -> None:
    raw = a_raw()
    del raw[missing]
    with pytest.raises(DecodeError, match=f"missing required field `{missing}`"):
        read_envelope(json.dumps(raw).encode())


@pytest.mark.parametrize("raw", [None, [], "text", 1, 1.5, True], ids=shown)
def test_what_is_no_object_is_no_envelope(raw: object) -> None:
    with pytest.raises(DecodeError, match=r"no CloudEvents 1\.0 envelope"):
        read_envelope(json.dumps(raw).encode())


def test_an_envelope_of_another_type_is_refused() -> None:
    with pytest.raises(DecodeError, match="type is 'AsDataclass', but this task handles AsAttrs"):
        decode(a_raw(), AsAttrs)


def test_an_offset_other_than_utc_is_the_same_moment() -> None:
    local = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert decode(raw_of(AsDataclass(occurred_at=local))).occurred_at == MOMENT


@pytest.mark.parametrize(
    "change",
    [
        {"weight_kg": float("nan")},
        {"weight_kg": float("-inf")},
        {"notes": {"a": [float("nan")]}},
        {"notes": {"a": object()}},
        {"notes": {"a": "\ud800"}},
        {"event_id": None},
        {"event_id": str(EVENT_ID)},
        {"occurred_at": None},
        {"occurred_at": MOMENT.replace(tzinfo=None)},
        {"notes": {"a": UTC}},
    ],
    ids=shown,
)
def test_an_event_that_json_cannot_express_is_refused_where_it_is_made(change: dict[str, Any]) -> None:
    event = replace(AsDataclass(event_id=EVENT_ID, occurred_at=MOMENT), **change)
    with pytest.raises(PayloadError, match="AsDataclass") as caught:
        EventCodec(AsDataclass).encode(event, source="shop")
    str(caught.value).encode()


def test_an_event_that_holds_itself_is_refused() -> None:
    notes: dict[str, Any] = {}
    notes["again"] = notes
    with pytest.raises(PayloadError, match="AsDataclass"):
        EventCodec(AsDataclass).encode(AsDataclass(occurred_at=MOMENT, notes=notes), source="shop")


def test_a_trace_travels_with_the_envelope() -> None:
    traced, untraced = (json.dumps(raw).encode() for raw in (a_raw(traceparent="00-1-2-01"), a_raw()))
    assert read_envelope(traced).traceparent == "00-1-2-01"
    assert "traceparent" not in json.loads(msgspec.json.encode(read_envelope(untraced)))
    assert isinstance(read_envelope(untraced), Envelope)


def nest(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "raw",
    [None, [], {"a": 1}, "text", {"a": "\ud800"}, {"\udfff": [2**100, True]}, [{"a": [1, {"b": "\ud800"}]}]],
    ids=shown,
)
def test_raw_json_of_any_shape_is_kept_as_it_came(raw: object) -> None:
    assert json.loads(encode_raw(raw)) == raw


def test_raw_json_too_deep_for_any_encoder_is_kept_as_it_came() -> None:
    assert encode_raw(nest(50_000)) == b"[" * 50_001 + b"]" * 50_001


def test_raw_values_that_are_no_json_are_kept_in_words() -> None:
    assert b"object at 0x" not in encode_raw([object()])
    assert encode_raw({"a": [object(), 1]}) == encode_raw({"a": [object(), 1]})


@dataclass(frozen=True, kw_only=True)
class Keyed:
    event_id: UUID
    occurred_at: datetime
    by_number: dict[int, str] = field(default_factory=dict)
    amount: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Inquisitive:
    """Looks at its id as soon as it is made."""

    event_id: UUID | None = None
    occurred_at: datetime

    def __post_init__(self) -> None:
        assert self.event_id is not None
        assert self.event_id.version == 4


def json_of(event: Any, **data: Any) -> bytes:
    raw = raw_of(event)
    raw["data"] |= data
    return json.dumps(raw).encode()


class TestInSteps:
    """An envelope that is read in steps gives what it gives at once."""

    @pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
    def test_usual_events_are_read_at_once_and_would_be_the_same_in_steps(self, event: Any) -> None:
        codec = EventCodec(type(event))
        written = codec.encode(event, source="shop")
        in_steps = codec.decode(written.replace(b'"data"', b'"dataschema":null,"data"'))
        codec._make_decoders()
        codec._at_once = None
        assert codec.decode(written) == in_steps == event

    def test_keys_that_are_no_text_and_exact_numbers_are_read_in_either_way(self) -> None:
        event = Keyed(event_id=EVENT_ID, occurred_at=MOMENT, by_number={1: "one"})
        written = EventCodec(Keyed).encode(event, source="shop").replace(b'"0"', b"12345678901234567.89")
        without_id = written.replace(f'"event_id":"{EVENT_ID}",'.encode(), b"")
        assert len(without_id) < len(written)
        first, second = (EventCodec(Keyed).decode(one) for one in (written, without_id))
        assert first == second == replace(event, amount=Decimal("12345678901234567.89"))

    def test_the_envelopes_offset_wins_also_if_the_moment_is_the_same(self) -> None:
        written = json_of(Keyed(event_id=EVENT_ID, occurred_at=MOMENT), occurred_at="2026-01-02T05:04:05.678901+02:00")
        assert EventCodec(Keyed).decode(written).occurred_at.isoformat() == MOMENT.isoformat()

    def test_a_class_that_looks_at_its_values_sees_the_envelopes_id_only(self) -> None:
        codec, good, bad = EventCodec(Inquisitive), UUID(int=1, version=4), UUID(int=1, version=1)
        raw = json.loads(codec.encode(Inquisitive(event_id=good, occurred_at=MOMENT), source="shop"))
        raw["data"]["event_id"] = str(bad)
        assert codec.decode(json.dumps(raw).encode()).event_id == good
        del raw["data"]["event_id"]
        assert codec.decode(json.dumps(raw).encode()).event_id == good


class TestLevels:
    """What is too deep for a parser somewhere is refused everywhere."""

    @pytest.mark.parametrize(
        ("json", "levels"),
        [
            (b"[" * 150 + b"]" * 150, 150),
            (b"[]" * 150, 1),
            (b'{"a":' * 120 + b"1" + b"}" * 120, 120),
            (b'{"a":"' + b"[{" * 90 + b'"}', 1),
            (b'{"a":"\\"' + b"[" * 120 + b'"}', 1),
            (b'"' + b"[" * 200, 200),
            (b"]" * 50 + b"[" * 150, 100),
        ],
    )
    def test_levels_are_counted_outside_of_texts(self, json: bytes, levels: int) -> None:
        assert levels_of(json) == levels

    def test_few_brackets_are_not_looked_at(self) -> None:
        assert levels_of(b"[]" * 50) <= LEVELS_MAX

    def test_an_event_that_is_too_deep_is_refused_where_it_is_made(self) -> None:
        notes: Any = 1
        for _ in range(LEVELS_MAX):
            notes = [notes]
        with pytest.raises(PayloadError, match="more than 100 objects and arrays"):
            EventCodec(AsDataclass).encode(AsDataclass(occurred_at=MOMENT, notes={"a": notes}), source="shop")

    @pytest.mark.parametrize("number", [*range(90, 102), 500])
    def test_many_brackets_beside_each_other_are_no_levels(self, number: int) -> None:
        event = AsDataclass(event_id=EVENT_ID, occurred_at=MOMENT, lines=(), notes={"a": [["x"]] * number})
        assert EventCodec(AsDataclass).decode(EventCodec(AsDataclass).encode(event, source="shop")) == event
