"""A team's catalog, to test ``bridge.testing``: events that are published, skipped, tried again and given up."""

from enum import StrEnum
from typing import Any

from msgspec import field

from bridge import Audience, DomainToSSEMapping, Event, PermanentError, Registry, SSEEventMetadata, Topic


class Category(StrEnum):
    ORDER = "order"


class Type(StrEnum):
    PAID = "order.paid"
    SHIPPED = "order.shipped"
    SALE = "order.sale"
    TRACKED = "order.tracked"


class OrderPaid(Event):
    user_id: int | None
    number: str
    lines: list[str] = field(default_factory=list)


class OrderShipped(Event):
    user_id: int
    trouble: str = ""


class SaleBegan(Event):
    percent: int


class OrderTracked(Event):
    order: int


class OrderLost(Event):
    """Has no mapping."""

    user_id: int


def shipped(event: OrderShipped) -> dict[str, Any]:
    if event.trouble == "for now":
        raise ConnectionError("the carrier is away")
    if event.trouble:
        raise PermanentError("no such carrier")
    return {"carrier": "swift"}


order = Topic("order", int)

registry = Registry(
    event_types=Type,
    categories=Category,
    events=[
        SSEEventMetadata(Type.PAID, Category.ORDER, "An order was paid", ("number",)),
        SSEEventMetadata(Type.SHIPPED, Category.ORDER, "An order was shipped", ("carrier",)),
        SSEEventMetadata(Type.TRACKED, Category.ORDER, "An order was tracked", ("order",)),
        SSEEventMetadata(Type.SALE, Category.ORDER, "A sale began", ("percent",)),
    ],
    mappings=[
        DomainToSSEMapping(OrderPaid, Type.PAID, lambda event: {"number": event.number}, lambda event: event.user_id),
        DomainToSSEMapping(OrderShipped, Type.SHIPPED, shipped, lambda event: event.user_id),
        DomainToSSEMapping(
            OrderTracked,
            Type.TRACKED,
            lambda event: {"order": event.order},
            audience=lambda event: [order(event.order)],
        ),
        DomainToSSEMapping(
            SaleBegan, Type.SALE, lambda event: {"percent": event.percent}, lambda _: None, audience=Audience.BROADCAST
        ),
    ],
    user_id=int,
    topics=[order],
)
