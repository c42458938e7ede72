"""A catalog whose events name their user in another field than ``user_id``: at once, by a rule, or not at all."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from bridge import DomainEvent, DomainToSSEMapping, PermanentError, Registry, SSEEventMetadata


class Category(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    ORDER_PAID = "order.paid"
    ORDER_SHIPPED = "order.shipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderPaid(DomainEvent):
    customer: UUID
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderShipped(DomainEvent):
    buyer: UUID
    recipient: UUID | None = None
    number: int


def _never(_: Any) -> dict[str, Any]:
    raise PermanentError("no such order")


def _recipient(event: OrderShipped) -> UUID:
    return event.recipient or event.buyer


registry = Registry(
    event_types=Type,
    categories=Category,
    events=[
        SSEEventMetadata(Type.ORDER_PAID, Category.ORDERS, "An order was paid", ("number",)),
        SSEEventMetadata(Type.ORDER_SHIPPED, Category.ORDERS, "An order was shipped", ("number",)),
    ],
    mappings=[
        DomainToSSEMapping(OrderPaid, Type.ORDER_PAID, _never, lambda event: event.customer),
        DomainToSSEMapping(OrderShipped, Type.ORDER_SHIPPED, _never, _recipient),
    ],
)
