"""Every fault of a registry is refused by name, and all faults are reported at once."""

from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import attrs
import msgspec
import pytest

from bridge.model.errors import RegistryError
from bridge.model.events import EventType
from bridge.model.registry import DomainToSSEMapping, Registry, SSEEventMetadata
from tests.support.naming import shown


class Category(StrEnum):
    ORDERS = "orders"


class BadCategory(StrEnum):
    ORDERS = "Orders & Co"


class OtherCategory(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    PAID = "order.paid"
    SENT = "order.sent"


class OtherType(StrEnum):
    LOST = "order.lost"


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    event_id: UUID
    occurred_at: datetime
    user_id: UUID
    total: int


@dataclass(frozen=True, kw_only=True)
class OrderSent:
    event_id: UUID
    occurred_at: datetime
    user_id: UUID


@attrs.frozen
class WithoutId:
    occurred_at: datetime


class WithoutIdAndTime(msgspec.Struct):
    name: str


class Arrayed(msgspec.Struct, array_like=True):
    event_id: UUID
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class WithTextId:
    event_id: str
    occurred_at: float


@dataclass(frozen=True, kw_only=True)
class WithLooseTypes:
    event_id: UUID | None
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass
class WithAnyTypes:
    event_id: Any
    occurred_at: datetime


class Shapeless:
    event_id: UUID
    occurred_at: datetime


def user_of(event: Any) -> UUID:
    user_id: UUID = event.user_id
    return user_id


PAID = SSEEventMetadata(Type.PAID, Category.ORDERS, "An order was paid", ("total",))
SENT = SSEEventMetadata(Type.SENT, Category.ORDERS, "An order was sent", ())
MAP_PAID = DomainToSSEMapping(OrderPaid, Type.PAID, lambda event: {"total": event.total}, user_of)
MAP_SENT = DomainToSSEMapping(OrderSent, Type.SENT, lambda event: {}, user_of)


def build(**changes: Any) -> Registry:
    tables: dict[str, Any] = {
        "event_types": Type,
        "categories": Category,
        "events": [PAID, SENT],
        "mappings": [MAP_PAID, MAP_SENT],
    }
    return Registry(**tables | changes)


def faults_of(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(RegistryError) as caught:
        build(**changes)
    assert all(f"  - {fault}" in str(caught.value) for fault in caught.value.faults)
    return caught.value.faults


def named(wire_name: str) -> dict[str, Any]:
    """Tables with one type of that wire name."""
    types = StrEnum("types", {"ODD": wire_name})  # type: ignore[misc]
    return {
        "event_types": types,
        "events": [SSEEventMetadata(types.ODD, Category.ORDERS, "odd", ())],  # type: ignore[attr-defined]
        "mappings": [],
    }


def mapped(event_class: Any, extract: Callable[[Any], Any] = lambda event: {}) -> dict[str, Any]:
    """Tables whose first mapping is of that class."""
    return {"mappings": [DomainToSSEMapping(event_class, Type.SENT, extract, user_of)]}


NAMESAKE = make_dataclass("OrderPaid", [("event_id", UUID), ("occurred_at", datetime), ("total", int)])

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "duplicate type": (
        {"events": [PAID, SENT, PAID]},
        "duplicate type: order.paid has 2 rows of metadata; keep one.",
    ),
    "type without metadata": (
        {"events": [PAID], "mappings": [MAP_PAID]},
        "type without metadata: SENT has no row in the event table; add one.",
    ),
    "metadata without type": (
        {"events": [PAID, SENT, SSEEventMetadata(OtherType.LOST, Category.ORDERS, "lost", ())]},
        "metadata without type: order.lost is not a member of Type; add it there.",
    ),
    "type that is plain text": (
        {"events": [PAID, SENT, SSEEventMetadata("order.gone", Category.ORDERS, "gone", ())]},  # type: ignore[arg-type]
        "metadata without type: order.gone is not a member of Type; add it there.",
    ),
    "two mappings for one class": (
        {"mappings": [MAP_PAID, MAP_PAID, MAP_SENT]},
        f"two mappings for one class: {__name__}.OrderPaid is mapped to {__name__}.Type.PAID and "
        f"{__name__}.Type.PAID; keep one.",
    ),
    "two classes of one name": (
        {"mappings": [MAP_PAID, DomainToSSEMapping(NAMESAKE, Type.PAID, MAP_PAID.payload_extractor, user_of)]},
        f"one name for two classes: {__name__}.OrderPaid and {NAMESAKE.__module__}.OrderPaid are one task, "
        "bridge.OrderPaid; rename one.",
    ),
    "mapping to an unknown type": (
        {"mappings": [DomainToSSEMapping(OrderSent, OtherType.LOST, lambda event: {}, user_of)]},
        "mapping to an unknown type: OrderSent publishes <OtherType.LOST: 'order.lost'>, which has no metadata.",
    ),
    "unknown category": (
        {"events": [PAID, SSEEventMetadata(Type.SENT, OtherCategory.ORDERS, "sent", ())]},
        "unknown category: <OtherCategory.ORDERS: 'orders'> of order.sent is not a member of Category.",
    ),
    "category that is plain text": (
        {"events": [PAID, SSEEventMetadata(Type.SENT, "orders", "sent", ())]},  # type: ignore[arg-type]
        "unknown category: 'orders' of order.sent is not a member of Category.",
    ),
    "bad category name": (
        {"categories": BadCategory, "event_types": OtherType, "mappings": [], "events": [
            SSEEventMetadata(OtherType.LOST, BadCategory.ORDERS, "lost", ()),
        ]},
        "illegal category name: 'Orders & Co'; use one lowercase segment such as 'orders'.",
    ),
    "missing payload key": (
        {"mappings": [DomainToSSEMapping(OrderPaid, Type.PAID, lambda event: {}, user_of)]},
        "payload differs from the contract: OrderPaid extracts (), but order.paid promises (total).",
    ),
    "other payload key": (
        {"mappings": [DomainToSSEMapping(OrderPaid, Type.PAID, lambda event: {"sum": 1, "total": 1}, user_of)]},
        "payload differs from the contract: OrderPaid extracts (sum, total), but order.paid promises (total).",
    ),
    "duplicate payload field": (
        {"events": [PAID, SSEEventMetadata(Type.SENT, Category.ORDERS, "sent", ("a", "a"))], "mappings": []},
        "duplicate payload field: order.sent names 'a' 2 times.",
    ),
    "class without event_id": (
        mapped(WithoutId),
        "illegal domain event: WithoutId has no field event_id; every domain event carries both.",
    ),
    "class without either": (
        mapped(WithoutIdAndTime),
        "illegal domain event: WithoutIdAndTime has no field event_id and no field occurred_at; "
        "every domain event carries both.",
    ),
    "id and time of other types": (
        mapped(WithTextId),
        "illegal domain event: WithTextId needs event_id: UUID and occurred_at: datetime.",
    ),
    "id of any type": (
        mapped(WithAnyTypes),
        "illegal domain event: WithAnyTypes needs event_id: UUID and occurred_at: datetime.",
    ),
    "array_like Struct": (
        mapped(Arrayed),
        "illegal domain event: Arrayed is an array_like Struct; the envelope's data is a JSON object.",
    ),
    "class that cannot be decoded": (
        mapped(int),
        "illegal domain event: int is no dataclass, attrs class or msgspec Struct.",
    ),
    "plain class": (
        mapped(Shapeless),
        "illegal domain event: Shapeless is no dataclass, attrs class or msgspec Struct.",
    ),
    **{
        f"class called {name[:12]!r}": (
            mapped(dataclass(type(name, (Shapeless,), {}))),
            f"illegal domain event: {shown} needs a name as Python has them, of 200 characters at most: its task is "
            "called so.",
        )
        for name, shown in {
            "Order Paid": "Order Paid", "Order\nPaid": "Order\\nPaid", "": "", "1st": "1st", "a.b": "a.b",
            "\u202e": "\\u202e",
            "X" * 201: "X" * 199 + "…",
        }.items()
    },
    "no class at all": (
        mapped("OrderPaid"),
        "illegal domain event: 'OrderPaid' is not a class.",
    ),
}  # fmt: skip


def test_the_sound_registry_that_the_faults_start_from_is_accepted() -> None:
    assert len(build().events) == 2
    assert build().gaps() == []


def test_id_and_time_may_be_annotated_or_optional() -> None:
    assert build(**mapped(WithLooseTypes)).mapping_named("WithLooseTypes") is not None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_registry_is_refused_by_name(fault: str) -> None:
    changes, sentence = FAULTS[fault]
    assert faults_of(**changes) == (sentence,)


@pytest.mark.parametrize(
    "wire_name",
    ["", "order", "Order.paid", "order..paid", "order.paid.", ".order.paid", "a.b.c.d", "order.paid\n", "order paid.x",
     "1rder.paid", "order.1st", "ordér.paid", "order-x.paid", "order.paid\ndata: x", "a." + "b" * 99],
    ids=shown,
)  # fmt: skip
def test_an_illegal_wire_name_is_refused(wire_name: str) -> None:
    (fault,) = faults_of(**named(wire_name))
    assert fault == (
        f"illegal wire name: {wire_name!r}; use 2 or 3 lowercase segments joined by dots, such as 'order.paid'."
    )


@pytest.mark.parametrize("wire_name", ["order.paid", "a.b", "order_2.paid.late", "a." + "b" * 98])
def test_a_legal_wire_name_is_accepted(wire_name: str) -> None:
    assert build(**named(wire_name)).metadata_of_wire_name(wire_name) is not None


def test_a_reserved_name_is_refused() -> None:
    (fault,) = faults_of(**named("stream.reset"))
    assert fault == "reserved wire name: stream.reset; 'stream.' belongs to the bridge's own control events."


def test_all_faults_are_listed_together_and_counted() -> None:
    changes = {
        "events": [PAID, PAID, SSEEventMetadata(OtherType.LOST, OtherCategory.ORDERS, "lost", ())],
        "mappings": [
            DomainToSSEMapping(OrderPaid, Type.PAID, lambda event: {}, user_of),
            DomainToSSEMapping(OrderSent, Type.SENT, lambda event: {}, user_of),
            DomainToSSEMapping(WithoutId, Type.SENT, lambda event: {}, user_of),
        ],
    }
    faults = faults_of(**changes)
    assert [fault.partition(":")[0] for fault in faults] == [
        "type without metadata",
        "duplicate type",
        "metadata without type",
        "unknown category",
        "payload differs from the contract",
        "mapping to an unknown type",
        "illegal domain event",
    ]
    with pytest.raises(RegistryError, match=r"^The registry has 7 faults:\n  - type without metadata: SENT"):
        build(**changes)


def test_one_fault_is_counted_as_one() -> None:
    with pytest.raises(RegistryError, match=r"^The registry has 1 fault:\n  - duplicate type"):
        build(events=[PAID, PAID, SENT])


def raises(event: Any) -> dict[str, Any]:
    raise LookupError("needs the database")


def test_an_extractor_that_cannot_take_the_sample_does_not_make_the_registry_faulty() -> None:
    assert build(mappings=[DomainToSSEMapping(OrderSent, Type.SENT, raises, raises)]).mappings


@pytest.mark.parametrize(
    ("payload", "user", "said"),
    [
        (lambda event: {}, lambda event: 7, "user of the wrong type: user_id_extractor of OrderSent returns int; "),
        (lambda event: {}, lambda event: str(event.event_id), "user of the wrong type: user_id_extractor of OrderSent"),
        (lambda event: [], lambda event: None, "payload of the wrong type: payload_extractor of OrderSent returns lis"),
    ],
)
def test_what_could_never_be_published_is_a_fault(payload: Any, user: Any, said: str) -> None:
    (fault,) = faults_of(mappings=[DomainToSSEMapping(OrderSent, Type.SENT, payload, user)])
    assert fault.startswith(said)


def test_a_payload_that_json_cannot_carry_is_a_fault() -> None:
    def nested(event: Any) -> dict[str, Any]:
        return {"total": event, "sum": 1}

    promising = SSEEventMetadata(Type.PAID, Category.ORDERS, "paid", ("total", "sum"))
    (fault,) = faults_of(events=[promising, SENT], mappings=[DomainToSSEMapping(OrderPaid, Type.PAID, nested, user_of)])
    assert fault.startswith("payload that JSON cannot carry: payload_extractor of OrderPaid: payload.total is of type")


@dataclass(frozen=True, kw_only=True)
class Unsamplable:
    event_id: UUID
    occurred_at: datetime
    amount: complex


def test_an_example_lets_the_contract_of_any_class_be_checked() -> None:
    example = Unsamplable(event_id=UUID(int=1), occurred_at=datetime.min, amount=1j)  # the shape is what counts here
    keep = DomainToSSEMapping(OrderSent, Type.SENT, lambda event: {}, user_of, example=lambda: example)
    assert build(mappings=[keep]).mappings
    breach = DomainToSSEMapping(OrderSent, Type.SENT, lambda e: {"x": e.amount}, user_of, example=lambda: example)
    (fault,) = faults_of(mappings=[breach])
    assert fault.startswith("payload differs from the contract: OrderSent extracts (x)")


def test_a_type_declared_without_its_category_is_refused_where_it_stands() -> None:
    with pytest.raises(TypeError, match=r'Declare it with its category: NAME = "order.paid", Category.MEMBER'):

        class Bare(EventType):
            PAID = "order.paid"
