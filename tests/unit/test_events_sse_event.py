"""SSEEvent: an immutable value, its frame that nothing can break out of, and its dict form."""

import dataclasses
import json
from collections import OrderedDict, UserDict
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uuid6 import uuid7

from bridge.catalogs.finance import AIResponseCompleted
from bridge.model.errors import PayloadError
from bridge.model.events import (
    SSEEvent,
    SSEEventCategory,
    SSEEventType,
    comment_frame,
    get_category_for_event_type,
    reset_frame,
    retry_frame,
)
from tests.support.naming import shown

USER = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
TRICKY = ("\n", "\r", "\r\n", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\ufeff", "\ndata: x\n\n")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
payloads = st.dictionaries(st.text(), json_values, max_size=5)
hostile_text = st.lists(st.sampled_from(TRICKY) | st.text(max_size=5), max_size=6).map("".join)


def an_event(**changes: Any) -> SSEEvent:
    fields: dict[str, Any] = {"event_type": SSEEventType.IMPORT_STARTED, "user_id": USER, "data": {"a": 1}}
    return SSEEvent(**fields | changes)


def browser_reads(stream: str) -> list[dict[str, str]]:
    """Parse an event stream as the HTML standard says."""
    events: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    text = stream.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n")[:-1]:
        if not line:
            if fields:
                events.append(fields)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    return events


# The value


def test_an_event_cannot_be_changed() -> None:
    event = an_event()
    for field in dataclasses.fields(event):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, field.name, None)
    assert not hasattr(event, "__dict__")


def test_an_event_takes_keywords_only() -> None:
    with pytest.raises(TypeError):
        SSEEvent(SSEEventType.IMPORT_STARTED, USER, {})  # type: ignore[misc]


def test_event_ids_are_uuid7_and_ordered_in_time() -> None:
    ids = [an_event().event_id for _ in range(500)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {event_id.version for event_id in ids} == {7}
    domain = [AIResponseCompleted(user_id=USER, conversation_id=USER).event_id for _ in range(100)]
    assert domain == sorted(domain)


def test_events_happen_now_in_utc_unless_said_otherwise() -> None:
    before = datetime.now(UTC)
    moment = an_event().occurred_at
    assert before <= moment <= datetime.now(UTC)
    assert moment.utcoffset() == timedelta(0)


@pytest.mark.parametrize("event_type", SSEEventType)
def test_an_event_knows_the_category_of_its_type(event_type: SSEEventType) -> None:
    assert an_event(event_type=event_type).category is get_category_for_event_type(event_type)
    assert isinstance(an_event(event_type=event_type).category, SSEEventCategory)


class Nowhere(tzinfo):
    def utcoffset(self, moment: datetime | None) -> None:
        return None


class Plain(StrEnum):
    KNOWN = "shop.order"
    BROKEN = "shop.order\ndata: injected"
    QUOTED = 'shop.order","user_id":"somebody'
    SLASHED = "shop.order\\"
    SEPARATED = "shop.order\u2028"
    ENDLESS = "shop.order" * 13


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": None},
        {"user_id": str(USER)},
        {"event_id": "1\nevent: x"},
        {"event_id": None},
        {"event_type": "import.started"},
        {"event_type": None},
        {"event_type": Plain.BROKEN},
        {"event_type": Plain.QUOTED},
        {"event_type": Plain.SLASHED},
        {"event_type": Plain.SEPARATED},
        {"event_type": Plain.ENDLESS},
        {"data": None},
        {"data": []},
        {"data": "text"},
        {"occurred_at": datetime(2026, 1, 1)},
        {"occurred_at": datetime(2026, 1, 1, tzinfo=Nowhere())},
        {"occurred_at": "2026-01-01T00:00:00Z"},
    ],
    ids=shown,
)
def test_a_field_that_could_spoil_a_key_or_a_frame_is_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(change))} must"):
        an_event(**change)


def test_the_category_of_a_foreign_type_is_a_question_for_its_registry() -> None:
    with pytest.raises(KeyError):
        _ = an_event(event_type=Plain.KNOWN).category
    for stranger in (Plain.KNOWN, "shop.order", None, 5, ["import.started"]):
        with pytest.raises(KeyError):
            get_category_for_event_type(stranger)  # type: ignore[arg-type]


def test_a_wire_name_has_the_category_of_its_type() -> None:
    for event_type in SSEEventType:
        assert get_category_for_event_type(event_type.value) is event_type.category  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [1, 2])
def test_a_dict_of_an_event_is_json_ready_whatever_its_data_holds(times: int) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    event = an_event(
        data={"id": USER, "sum": Decimal("1.10"), "at": moment, "in": [{"deep": (USER,)}], "on": moment.date()}
    )
    for _ in range(times):
        wire = json.loads(json.dumps(event.to_dict()))
        event = SSEEvent.from_dict(wire)
    assert event.to_dict() == wire
    assert event.data == {
        "id": str(USER), "sum": "1.10", "at": "2026-01-02T01:04:05Z", "in": [{"deep": [str(USER)]}], "on": "2026-01-02",
    }  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), object(), b"x", "\ud800", {1: 2}], ids=shown)
def test_a_dict_of_what_json_cannot_express_is_refused(value: Any) -> None:
    with pytest.raises(PayloadError):
        an_event(data={"x": value}).to_dict()


# The frame


def test_a_frame_is_exactly_id_event_data_and_an_empty_line() -> None:
    event = an_event(data={"connection_id": "abc", "account_count": 3})
    assert event.to_sse_format() == (
        f'id: {event.event_id}\nevent: import.started\ndata: {{"connection_id": "abc", "account_count": 3}}\n\n'
    )


@given(st.dictionaries(hostile_text, hostile_text | st.lists(hostile_text, max_size=3), max_size=4))
@example({text: text for text in TRICKY})
def test_no_text_in_a_payload_makes_another_field_or_event(data: dict[str, Any]) -> None:
    event = an_event(data=data)
    frame = event.to_sse_format()
    assert len(frame.splitlines()) == 4
    assert frame.count("\n") == 4
    assert not any(character in frame for character in ("\r", "\x00", "\u2028", "\u2029", "\ufeff"))
    (read,) = browser_reads(frame)
    assert read.keys() == {"id", "event", "data"}
    assert (read["id"], read["event"]) == (str(event.event_id), "import.started")
    assert json.loads(read["data"]) == data


def test_the_control_frames_are_as_the_standard_says() -> None:
    assert browser_reads(reset_frame("trimmed")) == [{"event": "stream.reset", "data": '{"reason": "trimmed"}'}]
    assert browser_reads(comment_frame("heartbeat")) == []
    assert comment_frame("heartbeat") == ": heartbeat\n", "an empty line shows some clients an event"
    assert retry_frame(1500) == "retry: 1500\n"
    assert retry_frame(1500, "17-3") == "retry: 1500\nid: 17-3\n\n"


# The dict


@given(
    payloads,
    st.sampled_from(SSEEventType),
    st.uuids(),
    st.datetimes(
        min_value=datetime(1, 1, 3),
        max_value=datetime(9999, 12, 29),
        timezones=st.timezones() | st.just(timezone(timedelta(hours=-23, minutes=59))),
    ),
)
def test_to_dict_and_from_dict_are_inverse(
    data: dict[str, Any], event_type: SSEEventType, user_id: UUID, moment: datetime
) -> None:
    event = an_event(data=data, event_type=event_type, user_id=user_id, occurred_at=moment)
    wire = json.loads(json.dumps(event.to_dict()))
    again = SSEEvent.from_dict(wire)
    # In UTC: Python calls the hour that a clock change repeats unequal to itself in another zone.
    assert again == dataclasses.replace(event, occurred_at=moment.astimezone(UTC))
    assert type(again.event_type) is SSEEventType
    assert again.occurred_at.utcoffset() == timedelta(0)


def test_from_dict_reads_the_types_of_another_catalog() -> None:
    event = an_event(event_type=Plain.KNOWN)
    assert SSEEvent.from_dict(event.to_dict(), parse_type=Plain).event_type is Plain.KNOWN
    with pytest.raises(ValueError, match=r"shop\.order"):
        SSEEvent.from_dict(event.to_dict())


@pytest.mark.parametrize("missing", ["event_id", "event_type", "user_id", "data", "occurred_at"])
def test_a_missing_field_is_a_key_error_that_names_it(missing: str) -> None:
    wire = an_event().to_dict()
    del wire[missing]
    with pytest.raises(KeyError, match=missing):
        SSEEvent.from_dict(wire)


class Default(dict[str, Any]):
    def __missing__(self, name: str) -> object:
        return name


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.uuids()
    | st.datetimes()
    | st.decimals()
    | st.complex_numbers()
    | st.just(object)
    | st.just("x" * 100_000)
    | st.just("\ud800")
    | st.just("9" * 5000),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=3)
        | st.tuples(inner)
        | st.frozensets(st.integers(), max_size=2)
    ),
    max_leaves=5,
)
times = st.sampled_from(
    [
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-W01-1T00:00Z",
        "2026-01-01T00:00:00+24:00",
        "2026-02-30T00:00:00Z",
        "\ud8002026-01-01T00:00:00Z",
        "",
    ]
)


def or_anything(valid: object) -> st.SearchStrategy[Any]:
    return st.just(valid) | anything


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "event_id": or_anything(str(uuid7())),
            "event_type": or_anything("import.started"),
            "user_id": or_anything(str(USER)),
            "data": or_anything({"a": 1}),
            "occurred_at": st.just("2026-01-01T00:00:00Z") | times | anything,
        },
    )
    | anything,
    st.sampled_from([None, OrderedDict, UserDict, Default]),
)
def test_from_dict_raises_only_key_error_or_value_error_whatever_it_reads(wire: Any, wrap: Any) -> None:
    if wrap is not None and isinstance(wire, dict):
        wire = wrap(wire)
    try:
        event = SSEEvent.from_dict(wire)
    except (KeyError, ValueError):
        return
    assert isinstance(event.user_id, UUID)


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        "text",
        1,
        object(),
        an_event().to_dict() | {"event_id": uuid4()},
        an_event().to_dict() | {"event_id": ["a"]},
        an_event().to_dict() | {"data": None},
        an_event().to_dict() | {"occurred_at": "0001-01-01T00:00:00+23:59"},
        an_event().to_dict() | {"occurred_at": None},
        an_event().to_dict() | {"event_type": {}},
        an_event().to_dict() | {"user_id": None},
    ],
)
def test_a_bad_value_is_a_value_error(wire: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SSEEvent.from_dict(wire)
