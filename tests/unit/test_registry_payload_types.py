"""A payload's type, declared in its metadata: its keys follow from it, and the registry holds samples to it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pytest

from bridge.model.errors import RegistryError
from bridge.model.pipeline.rehearsal import Remark, rehearse
from bridge.model.registry import DomainToSSEMapping, Registry, SSEEventMetadata
from bridge.model.registry.identity import identity_of


class Category(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    PAID = "order.paid"


class Typed(TypedDict):
    number: int
    total: Decimal
    note: NotRequired[str]


@dataclass
class Data:
    number: int
    total: Decimal
    note: str = ""


class Struct(msgspec.Struct):
    number: int
    total: Decimal
    note: str = ""


@attrs.define
class Attrs:
    number: int
    total: Decimal
    note: str = ""


class Renamed(msgspec.Struct, rename="camel", tag="paid"):
    order_number: int


T = TypeVar("T")


class Many(TypedDict, Generic[T]):
    values: list[T]
    count: int


class Row(NamedTuple):
    number: int


class ArrayLike(msgspec.Struct, array_like=True):
    number: int


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    event_id: UUID
    occurred_at: datetime
    number: int
    total: Decimal
    currency: str
    note: str | None
    anything: Any


KINDS = [Typed, Data, Struct, Attrs]


def meta(payload: Any, **others: Any) -> SSEEventMetadata:
    return SSEEventMetadata(Type.PAID, Category.ORDERS, "An order was paid", payload=payload, **others)


def build(payload: Any, extract: Callable[[Any], Any], **others: Any) -> Registry:
    return Registry(
        event_types=Type,
        categories=Category,
        events=[meta(payload)],
        mappings=[DomainToSSEMapping(OrderPaid, Type.PAID, extract, lambda event: event.event_id, **others)],
    )


def remarks(registry: Registry) -> list[Remark]:
    return rehearse(registry, event_max_bytes=100_000)


def field(hint: Any) -> Any:
    """A payload of one key."""
    return TypedDict("Payload", {"value": hint})  # type: ignore[operator]


@pytest.mark.parametrize("kind", KINDS)
def test_the_fields_follow_from_the_type(kind: Any) -> None:
    assert meta(kind).payload_fields == ["number", "total", "note"]
    assert meta(kind).payload is kind


def test_the_fields_are_the_keys_in_json() -> None:
    assert meta(Renamed).payload_fields == ["type", "orderNumber"]


def test_a_type_may_have_parameters() -> None:
    assert meta(Many[int]).payload_fields == ["values", "count"]
    right = build(Many[int], lambda event: {"values": [event.number], "count": 1})
    assert identity_of(right).difference(
        identity_of(build(Many[str], lambda event: {"values": [event.note], "count": 1}))
    )
    with pytest.raises(RegistryError, match=r"what is no .*Many\[str\]: Expected `str`, got `int`"):
        build(Many[str], lambda event: {"values": [event.number], "count": 1})


def test_fields_that_are_given_must_agree() -> None:
    assert meta(Typed, payload_fields=("total", "number", "note")).payload_fields == ["total", "number", "note"]
    for given in ((), ("number", "total"), ("number", "total", "note", "more")):
        with pytest.raises(ValueError, match=r"^payload_fields of order\.paid are \(.*\), but its payload has \(n"):
            meta(Typed, payload_fields=given)


@pytest.mark.parametrize("junk", [int, dict, dict[str, int], Row, ArrayLike, "Typed", ["number"], 1])
def test_what_names_no_keys_is_refused(junk: Any) -> None:
    with pytest.raises(ValueError, match=r"^payload of order\.paid: it "):
        meta(junk)


@pytest.mark.parametrize("kind", KINDS)
def test_an_extractor_may_leave_out_what_the_type_does_not_demand(kind: Any) -> None:
    full = build(kind, lambda event: {"number": event.number, "total": event.total, "note": "x"})
    short = build(kind, lambda event: {"number": event.number, "total": event.total})
    assert remarks(full) == remarks(short) == []
    for extract in (lambda event: {"number": event.number}, lambda event: {"number": 1, "total": 1, "more": 1}):
        with pytest.raises(RegistryError, match="payload differs from the contract: OrderPaid extracts"):
            build(kind, extract)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_another_type_is_a_fault(kind: Any) -> None:
    with pytest.raises(RegistryError) as caught:
        build(kind, lambda event: {"number": str(event.number), "total": event.total})
    assert caught.value.faults == (
        f"payload differs from its type: OrderPaid extracts what is no {kind.__name__}: "
        "Expected `int`, got `str` - at `$.number`.",
    )


def test_a_type_that_json_cannot_carry_is_a_fault() -> None:
    with pytest.raises(RegistryError, match=r"payload type that JSON cannot carry: Payload of order\.paid: .*complex"):
        build(field(complex), lambda event: {"value": 1})


@pytest.mark.parametrize("hint", [int, str, bool, list[str]])
def test_what_an_event_may_hold_of_any_type_is_no_fault_of_its_registry(hint: Any) -> None:
    build(field(hint), lambda event: {"value": event.anything})
    with pytest.raises(RegistryError, match="payload differs from its type"):
        build(field(hint), lambda event: {"value": None if event.anything else {}})


@pytest.mark.parametrize("hint", [Literal["EUR", "USD"], Annotated[str, msgspec.Meta(max_length=3)], datetime, UUID])
def test_a_value_that_the_sample_only_guesses_is_a_warning_of_check(hint: Any) -> None:
    (remark,) = remarks(build(field(hint), lambda event: {"value": event.currency}))
    assert not remark.fatal
    assert "what is no Payload: " in remark.text and "example=" in remark.text


def test_a_value_of_an_example_is_none_that_was_guessed() -> None:
    def example() -> OrderPaid:
        return OrderPaid(
            event_id=UUID(int=1),
            occurred_at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
            number=1,
            total=Decimal(1),
            currency="GBP",
            note=None,
            anything=1,
        )

    with pytest.raises(RegistryError, match=r"Invalid enum value 'GBP' - at `\$\.value`"):
        build(field(Literal["EUR", "USD"]), lambda event: {"value": event.currency}, example=example)


def test_check_finds_a_value_that_only_some_events_have() -> None:
    (remark,) = remarks(build(field(str), lambda event: {"value": event.note}))
    assert remark.fatal
    assert "Expected `str`, got `null` - at `$.value` (sample with note=None)" in remark.text


def test_another_payload_type_is_another_catalog() -> None:
    registries = [build(field(hint), lambda event: {"value": event.number}) for hint in (int, float)]
    assert identity_of(registries[0]).difference(identity_of(registries[1])) == "another catalog"
