"""Samples of an event class: every kind of value that its type hints allow occurs in one of them."""

from collections.abc import Hashable, Iterable, Sized
from dataclasses import dataclass, make_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest

from bridge.model.registry.sampling import CannotSampleError, UnwritableTypeError, sample_event, sample_events


class Colour(Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Line:
    article: str
    price: Decimal | None


@dataclass
class Tree:
    left: "Tree | None"
    kids: "list[Tree]"


class Tagged(msgspec.Struct, tag="t", rename="camel"):
    some_field: int


@dataclass
class Rich:
    event_id: UUID | None
    occurred_at: datetime | None
    tree: Tree
    tagged: Tagged | None
    by_id: dict[UUID, Line | None]
    pair: tuple[int, Colour]
    wait: timedelta
    labels: frozenset[str]


def test_samples_have_every_kind_of_value_once() -> None:
    special = [sample.special for sample in sample_events(Rich)]
    assert special[0] == ""
    assert {"tree.left=None", "tree.kids=empty", "tagged=None", "by_id=empty", "by_id=None", "labels=empty"} <= set(
        special
    )
    assert "pair.[1]=GREEN" in special
    assert not any(text.startswith(("event_id=", "occurred_at=")) for text in special)
    assert all(isinstance(sample.event, Rich) and sample.event.event_id for sample in sample_events(Rich))


def test_a_type_that_json_cannot_carry_is_told_apart() -> None:
    @dataclass
    class Odd:
        inner: list[complex]

    with pytest.raises(UnwritableTypeError, match=r"^field inner: JSON cannot carry a complex$"):
        sample_event(Odd)
    with pytest.raises(CannotSampleError, match="it is no dataclass"):
        sample_event(int)


@pytest.mark.parametrize("kind", [object, Iterable[int], Sized, Hashable, list[object]])
def test_a_type_that_some_json_is_an_instance_of_has_a_sample(kind: Any) -> None:
    made = make_dataclass("Made", [("value", kind)])
    value = sample_event(made).value
    assert msgspec.json.decode(msgspec.json.encode(made(value)), type=made).value == value


def test_a_class_with_very_many_kinds_of_values_has_a_bounded_number_of_samples() -> None:
    wide = msgspec.defstruct("Wide", [(f"f{at}", int | str | bool | list[int] | None) for at in range(300)])
    assert len(list(sample_events(wide))) <= 257
