"""encode_payload: what becomes JSON, in which form, and what is refused by path."""

import json
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.bounds import LEVELS_PAYLOAD_MAX
from bridge.model.errors import PayloadError
from bridge.model.events import encode_payload
from tests.support.naming import shown

SECRET = "hunter2-do-not-print"
SOME_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Odd(Enum):
    NAN = float("nan")
    BYTES = b"hunter2"
    TUPLE = (1, 2)
    HALF = 0.5


class Text(str):
    __slots__ = ()


class Number(float):
    __slots__ = ()


class Nowhere(tzinfo):
    def utcoffset(self, moment: datetime | None) -> None:
        return None


class Secretive:
    def __repr__(self) -> str:
        return SECRET


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (2**80, str(2**80)),
        (1.5, "1.5"),
        (Number(1.5), "1.5"),
        ("naïve ☃", '"naïve ☃"'),
        (Text("text"), '"text"'),
        (SOME_ID, f'"{SOME_ID}"'),
        (Decimal("0.10"), '"0.10"'),
        (Decimal("1E+400"), '"1E+400"'),
        (Colour.RED, '"red"'),
        (Level.HIGH, "3"),
        (Odd.HALF, "0.5"),
        (date(2026, 1, 2), '"2026-01-02"'),
        (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00Z"'),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), '"2026-01-02T01:00:00Z"'),
        ((1, 2), "[1,2]"),
        ([SOME_ID, {"b": Decimal(1)}], f'["{SOME_ID}",{{"b":"1"}}]'),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (MappingProxyType({"a": 1}), '{"a":1}'),
    ],
    ids=shown,
)
def test_values_are_written_in_the_forms_of_the_catalog(value: object, written: str) -> None:
    assert encode_payload({"a": value}).decode() == f'{{"a":{written}}}'
    assert encode_payload({"a": {"deep": [value]}}).decode() == f'{{"a":{{"deep":[{written}]}}}}'


@pytest.mark.parametrize(
    "payload", [OrderedDict(a=1), MappingProxyType({"a": 1}), {Text("a"): 1}, {"a": Level(3)}], ids=shown
)
def test_any_mapping_with_text_keys_is_a_payload(payload: Any) -> None:
    assert list(json.loads(encode_payload(payload))) == ["a"]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Odd.NAN,
        SECRET.encode(),
        bytearray(SECRET.encode()),
        memoryview(SECRET.encode()),
        Odd.BYTES,
        Odd.TUPLE,
        {SECRET},
        frozenset([SECRET]),
        Secretive(),
        Secretive,
        timedelta(days=1),
        complex(1),
        datetime(2026, 1, 2),
        datetime(2026, 1, 2, tzinfo=Nowhere()),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=2))),
        f"{SECRET}\ud800",
        Text(f"{SECRET}\udfff"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda value: {"a": value}, "payload.a "),
        (lambda value: {"a": 1, "b": [0, {"c": value}]}, "payload.b[1].c "),
    ],
    ids=["flat", "nested"],
)
def test_what_json_cannot_express_is_refused_by_path_and_never_by_value(value: Any, wrap: Any, path: str) -> None:
    with pytest.raises(PayloadError) as caught:
        encode_payload(wrap(value))
    message = str(caught.value)
    assert message.startswith(path)
    assert "hunter2" not in message
    message.encode()


@pytest.mark.parametrize("key", [1, None, 1.5, True, (1,), SOME_ID, b"key", Level.HIGH], ids=shown)
@pytest.mark.parametrize("nest", [False, True], ids=["flat", "nested"])
def test_keys_that_are_no_text_are_refused(key: Any, nest: bool) -> None:
    payload = {"a": [{key: 1}]} if nest else {key: 1}
    with pytest.raises(PayloadError, match=r"^payload(\.a\[0\])? has a key of type"):
        encode_payload(payload)


def test_a_key_with_a_lone_surrogate_is_refused_in_words_that_can_be_printed() -> None:
    for payload in ({"\ud800": 1}, {"\ud800": 1.5}, {"a": {"\ud800": None}}):
        with pytest.raises(PayloadError, match="lone surrogate") as caught:
            encode_payload(payload)
        str(caught.value).encode()


@pytest.mark.parametrize("payload", [None, [], "text", 1, b"{}", {1}, Secretive()], ids=shown)
def test_a_payload_that_is_no_mapping_is_refused(payload: Any) -> None:
    with pytest.raises(PayloadError, match=f"the extractor returned {type(payload).__name__}"):
        encode_payload(payload)


def test_nesting_is_bounded_and_a_payload_inside_itself_is_refused() -> None:
    encode_payload(nested(LEVELS_PAYLOAD_MAX))
    endless: dict[str, Any] = {}
    endless["again"] = endless
    for payload in (nested(LEVELS_PAYLOAD_MAX + 1), nested(50_000), endless):
        with pytest.raises(PayloadError, match=f"more than {LEVELS_PAYLOAD_MAX}"):
            encode_payload(payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_what_json_can_express_comes_back_unchanged_on_one_line(payload: dict[str, Any]) -> None:
    encoded = encode_payload(payload)
    assert json.loads(encoded) == payload
    assert b"\n" not in encoded
    assert b"\r" not in encoded
