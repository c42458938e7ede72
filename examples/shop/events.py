"""What happens in the shop, as its own code says it. Nothing here comes from bridge.

Every event needs an ``event_id: UUID`` and an aware ``occurred_at: datetime``; the class may be a
dataclass, an attrs class or a msgspec Struct. A shop would pick one kind; this one shows those that need
nothing besides what bridge brings.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import msgspec
from uuid6 import uuid7


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    article: str
    quantity: int
    price: Decimal


@dataclass(frozen=True, kw_only=True)
class OrderPlaced:
    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime = field(default_factory=now)
    customer_id: UUID | None
    """None for a guest, who has no page to be told on."""
    order_number: str
    lines: tuple[OrderLine, ...]


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime = field(default_factory=now)
    customer_id: UUID
    order_number: str
    amount: Decimal
    currency: str


class ParcelShipped(msgspec.Struct, frozen=True, kw_only=True):
    event_id: UUID = msgspec.field(default_factory=uuid7)
    occurred_at: datetime = msgspec.field(default_factory=now)
    customer_id: UUID
    order_number: str
    carrier: str
    tracking_code: str


class FlashSaleStarted(msgspec.Struct, frozen=True, kw_only=True):
    event_id: UUID = msgspec.field(default_factory=uuid7)
    occurred_at: datetime = msgspec.field(default_factory=now)
    title: str
    discount_percent: int
    ends_at: datetime
