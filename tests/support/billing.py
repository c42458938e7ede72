"""The catalog of docs/incident.md: a release with a mistake, which the page's own diff mends in a copy of this file."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge import DomainEvent, DomainToSSEMapping, PermanentError, Registry, RetryPolicy, SSEEventMetadata


class Category(StrEnum):
    BILLING = "billing"
    DELIVERY = "delivery"


class EventType(StrEnum):
    INVOICE_READY = "invoice.ready"
    PAYMENT_RECEIVED = "payment.received"
    PARCEL_SHIPPED = "parcel.shipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class InvoiceIssued(DomainEvent):
    number: int
    buyer: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class PaymentReceived(DomainEvent):
    number: int
    buyer: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParcelShipped(DomainEvent):
    number: int
    carrier: str


TRACKING_PAGES = {"swift": "https://swift.example/track/{number}"}


def addressee(buyer: Mapping[str, str]) -> str:
    return buyer["company"]


def bill(event: InvoiceIssued | PaymentReceived) -> dict[str, Any]:
    return {"number": event.number, "addressee": addressee(event.buyer)}


def shipped(event: ParcelShipped) -> dict[str, Any]:
    page = TRACKING_PAGES.get(event.carrier)
    if page is None:
        raise PermanentError(f"We know no tracking page of {event.carrier}; add it to TRACKING_PAGES.")
    return {"number": event.number, "tracking_url": page.format(number=event.number)}


ACME = {"company": "Acme", "name": "Ann"}

registry = Registry(
    event_types=EventType,
    categories=Category,
    events=[
        SSEEventMetadata(EventType.INVOICE_READY, Category.BILLING, "An invoice can be read", ("number", "addressee")),
        SSEEventMetadata(EventType.PAYMENT_RECEIVED, Category.BILLING, "Money came in", ("number", "addressee")),
        SSEEventMetadata(EventType.PARCEL_SHIPPED, Category.DELIVERY, "A parcel left", ("number", "tracking_url")),
    ],
    mappings=[
        DomainToSSEMapping(
            InvoiceIssued,
            EventType.INVOICE_READY,
            bill,
            lambda event: event.user_id,
            retry=RetryPolicy(attempts=3, base_s=0.1, cap_s=0.2),
            example=lambda: InvoiceIssued(user_id=None, number=1, buyer=ACME),
        ),
        DomainToSSEMapping(
            PaymentReceived,
            EventType.PAYMENT_RECEIVED,
            bill,
            lambda event: event.user_id,
            # Nobody waits for a receipt: some attempts, within days.
            retry=RetryPolicy(attempts=5, base_s=86_400, cap_s=86_400),
            example=lambda: PaymentReceived(user_id=None, number=1, buyer=ACME),
        ),
        DomainToSSEMapping(
            ParcelShipped,
            EventType.PARCEL_SHIPPED,
            shipped,
            lambda event: event.user_id,
            example=lambda: ParcelShipped(user_id=None, number=1, carrier="swift"),
        ),
    ],
)
