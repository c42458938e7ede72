"""The base of the built-in domain events: something that happened, to which user and when."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from uuid6 import uuid7


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainEvent:
    """What every built-in domain event carries.

    A catalog of your own need not inherit from this class: any dataclass, attrs class or msgspec
    Struct with an ``event_id: UUID`` and an aware ``occurred_at: datetime`` will do.

    Attributes:
        event_id: a UUIDv7; the published SSE event keeps it, which makes a redelivery recognisable.
        occurred_at: when it happened; aware, UTC.
        user_id: who is told. ``None`` means no recipient: the event ends as skipped.
    """

    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime = field(default_factory=utc_now)
    user_id: UUID | None
