"""The shop's registry: what each event type promises, and how a domain event keeps the promise.

Point bridge at it: ``BRIDGE_REGISTRY=examples.shop.catalog:registry``.
"""

from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

from bridge import Audience, DomainToSSEMapping, PermanentError, Registry, RetryPolicy, SSEEventMetadata
from examples.shop.events import FlashSaleStarted, OrderPaid, OrderPlaced, ParcelShipped
from examples.shop.types import ShopCategory, ShopEventType


class PaidPayload(TypedDict):
    """What is in ``order.paid``, with types; the other rows below name their fields alone."""

    order_number: str
    amount: Decimal
    currency: str


EVENTS = (
    SSEEventMetadata(
        ShopEventType.ORDER_PLACED, ShopCategory.ORDERS, "We received an order", ("order_number", "items", "total")
    ),
    SSEEventMetadata(ShopEventType.ORDER_PAID, ShopCategory.ORDERS, "An order was paid", payload=PaidPayload),
    SSEEventMetadata(
        ShopEventType.PARCEL_SHIPPED,
        ShopCategory.DELIVERY,
        "A parcel left our house",
        ("order_number", "carrier", "tracking_url"),
    ),
    SSEEventMetadata(
        ShopEventType.SALE_STARTED, ShopCategory.OFFERS, "A flash sale began", ("title", "discount_percent", "ends_at")
    ),
)

TRACKING_PAGES = {
    "swift": "https://swift.example/track/{code}",
    "turtle": "https://turtle.example/?parcel={code}",
}
"""Stands for a directory service: a real one may be away, and then the extractor is tried again."""


class UnknownCarrierError(PermanentError):
    """We know no tracking page of this carrier; trying again cannot help."""


def placed(event: OrderPlaced) -> dict[str, Any]:
    return {
        "order_number": event.order_number,
        "items": sum(line.quantity for line in event.lines),
        "total": sum((line.quantity * line.price for line in event.lines), Decimal("0.00")),
    }


def paid(event: OrderPaid) -> PaidPayload:
    return {"order_number": event.order_number, "amount": event.amount, "currency": event.currency}


def shipped(event: ParcelShipped) -> dict[str, Any]:
    page = TRACKING_PAGES.get(event.carrier)
    if page is None:
        raise UnknownCarrierError(f"We know no tracking page of {event.carrier!r}; add it to TRACKING_PAGES.")
    return {
        "order_number": event.order_number,
        "carrier": event.carrier,
        "tracking_url": page.format(code=event.tracking_code),
    }


def sale_started(event: FlashSaleStarted) -> dict[str, Any]:
    return {"title": event.title, "discount_percent": event.discount_percent, "ends_at": event.ends_at}


def customer_of(event: OrderPlaced | OrderPaid | ParcelShipped) -> UUID | None:
    return event.customer_id


def nobody_in_particular(event: FlashSaleStarted) -> None:
    """A broadcast needs no user."""


def a_parcel() -> ParcelShipped:
    """A sample with a carrier that exists; the registry's check cannot guess one."""
    return ParcelShipped(customer_id=UUID(int=1), order_number="S-1", carrier="swift", tracking_code="1Z9")


MAPPINGS = (
    DomainToSSEMapping(OrderPlaced, ShopEventType.ORDER_PLACED, placed, customer_of),
    DomainToSSEMapping(OrderPaid, ShopEventType.ORDER_PAID, paid, customer_of),
    DomainToSSEMapping(
        ParcelShipped,
        ShopEventType.PARCEL_SHIPPED,
        shipped,
        customer_of,
        retry=RetryPolicy(attempts=8, base_s=0.5, cap_s=30),
        example=a_parcel,
    ),
    DomainToSSEMapping(
        FlashSaleStarted,
        ShopEventType.SALE_STARTED,
        sale_started,
        nobody_in_particular,
        audience=Audience.BROADCAST,
    ),
)

registry = Registry(event_types=ShopEventType, categories=ShopCategory, events=EVENTS, mappings=MAPPINGS)
