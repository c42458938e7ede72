"""Releases of one catalog, for producers and workers that are not of the same one.

``old``: an order is placed. ``new``: with an optional note; there are refunds, and parcels on a queue of their own.
``newest``: an order must also say its amount. ``renamed``: as ``old``, on a queue of another name. ``without``: there
are no orders any more. ``shorter``: as ``new``, without the note. ``retyped``: an order's number may be a text.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge import DomainEvent, DomainToSSEMapping, Registry, SSEEventMetadata

Row = tuple[type[DomainEvent], str, str, tuple[str, ...]]
"""Event class, event type, category, fields of the payload."""


class Old:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class OrderPlaced(DomainEvent):
        number: int


class New:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class OrderPlaced(DomainEvent):
        number: int
        note: str = "none"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class OrderRefunded(DomainEvent):
        number: int

    @dataclass(frozen=True, kw_only=True, slots=True)
    class ParcelSent(DomainEvent):
        number: int


class Newest:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class OrderPlaced(DomainEvent):
        number: int
        amount: int


class Shorter:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class OrderPlaced(DomainEvent):
        number: int


class Retyped:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class OrderPlaced(DomainEvent):
        number: int | str


def _registry(*rows: Row) -> Registry:
    types = StrEnum("EventType", {name: name for _, name, _, _ in rows})  # type: ignore[misc]
    categories = StrEnum("Category", {name: name for _, _, name, _ in rows})  # type: ignore[misc]
    return Registry(
        event_types=types,
        categories=categories,
        events=[
            SSEEventMetadata(types(name), categories(category), "A test", fields) for _, name, category, fields in rows
        ],
        mappings=[_mapping(kind, types(name), fields) for kind, name, _, fields in rows],
    )


def _mapping(kind: type[DomainEvent], event_type: StrEnum, fields: tuple[str, ...]) -> DomainToSSEMapping:
    def extract(event: Any) -> dict[str, Any]:
        return {field: getattr(event, field) for field in fields}

    return DomainToSSEMapping(kind, event_type, extract, lambda event: event.user_id)


old = _registry((Old.OrderPlaced, "order.placed", "orders", ("number",)))
new = _registry(
    (New.OrderPlaced, "order.placed", "orders", ("number", "note")),
    (New.OrderRefunded, "order.refunded", "orders", ("number",)),
    (New.ParcelSent, "parcel.sent", "parcels", ("number",)),
)
newest = _registry((Newest.OrderPlaced, "order.placed", "orders", ("number", "amount")))
renamed = _registry((Old.OrderPlaced, "order.placed", "purchases", ("number",)))
without = _registry((New.ParcelSent, "parcel.sent", "parcels", ("number",)))
shorter = _registry((Shorter.OrderPlaced, "order.placed", "orders", ("number",)))
retyped = _registry((Retyped.OrderPlaced, "order.placed", "orders", ("number",)))
