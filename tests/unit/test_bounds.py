"""What may come in from outside is judged in linear time, and judged right."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.bounds import LEVELS_MAX, VALUES_MAX, MessageBounds, levels_of, quick_check, values_of
from bridge.model.errors import DecodeError
from tests.support.growth import HOSTILE, assert_in_proportion, hostile

_texts = st.text(alphabet='a"\\[]{},\n', max_size=30)
_values = st.recursive(
    st.none() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_texts, inner, max_size=5),
    max_leaves=30,
)


def _levels(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max((_levels(inner) for inner in (value.values() if isinstance(value, dict) else value)), default=0)


@given(value=_values, deeper=st.integers(0, 300))
def test_levels_are_those_that_a_parser_finds(value: Any, deeper: int) -> None:
    for _ in range(deeper):
        value = [value]
    # Enough brackets beside each other, so that they are looked at.
    padded = [value, [[]] * LEVELS_MAX]
    assert levels_of(json.dumps(padded).encode()) == max(_levels(padded), 3)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ('{"a":"ends in a backslash\\\\","b":' + "[" * 450 + "]" * 450 + "}", 451),
        ('{"a":"\\"' + "[" * 500 + '"}', 1),
        ('{"a":"\\\\\\"' + "[" * 500 + '"}', 1),
        ('["' + "[" * 600 + '\\\\\\\\"' + ',"' + "[" * 600 + '"]', 1),
        ('{"[[[[' + "{" * 200 + '":1}', 1),
    ],
)
def test_brackets_in_texts_are_no_levels_and_those_behind_them_are(text: str, levels: int) -> None:
    assert levels_of(text.encode()) == levels


def test_values_are_counted_outside_of_texts() -> None:
    flat = json.dumps([",,,," * 1_000] * 300, separators=(",", ":")).encode()
    assert values_of(flat) == 300
    assert values_of(b"[" + b"1," * (VALUES_MAX + 1) + b"1]") == VALUES_MAX + 2


def test_too_many_levels_and_values_are_refused_in_a_sentence() -> None:
    with pytest.raises(DecodeError, match="more than 100 objects and arrays"):
        quick_check(b"[" * 101, levels_max=LEVELS_MAX, refuse=DecodeError)
    with pytest.raises(DecodeError, match="more than 1000000 values"):
        quick_check(b"1," * VALUES_MAX, levels_max=LEVELS_MAX, refuse=DecodeError)
    quick_check(b"[" * 99, levels_max=LEVELS_MAX, refuse=DecodeError)


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=list(HOSTILE))
def test_levels_and_values_take_time_in_proportion(piece: str) -> None:
    def look(json: bytes) -> None:
        levels_of(b"[" * LEVELS_MAX + json)
        values_of(b"," * VALUES_MAX + json)

    # So many commas cost the same each time: what is added to them must not make it more than proportionate.
    assert_in_proportion(lambda json: levels_of(b"[" * LEVELS_MAX + json), lambda n: hostile(piece)(n).encode(), 5_000)
    assert_in_proportion(look, lambda n: hostile(piece)(n).encode(), 5_000)


def test_a_worker_takes_what_the_settings_allow_and_what_other_producers_may_send() -> None:
    bounds = MessageBounds.of(message_max_bytes=262_144, emit_batch_max=100)
    assert (bounds.body_bytes, bounds.envelopes) == (2**20, 1_000)
    bounds = MessageBounds.of(message_max_bytes=2**26, emit_batch_max=10_000)
    assert bounds.body_bytes > 2**26
    assert bounds.envelopes == 10_000
    assert bounds.item_bytes > bounds.body_bytes * 4 / 3


def test_what_is_not_nested_is_not_refused_for_its_number() -> None:
    flat = b"[" + b"{}," * 98 + b"{}]"
    quick_check(flat, levels_max=2, refuse=DecodeError)
    with pytest.raises(DecodeError, match="more than 1 objects"):
        quick_check(flat, levels_max=1, refuse=DecodeError)
