"""What the built-in domain events are based on, and their vocabulary: 25 event types, each with its category."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

import msgspec
from uuid6 import uuid7


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


class Event(msgspec.Struct, kw_only=True):
    """What an event of your own may be based on: then it has only its own fields to declare.

    Each class is a ``Struct`` already: ``@dataclass`` above it fails with ``readonly attribute``, and has to go.

    Attributes:
        event_id: a UUIDv7; the published SSE event keeps it, which makes a redelivery recognisable.
        occurred_at: when it happened; aware, UTC.
    """

    event_id: UUID = msgspec.field(default_factory=uuid7)
    occurred_at: datetime = msgspec.field(default_factory=utc_now)


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


class EventType(StrEnum):
    """A StrEnum whose members carry their category: ``NAME = "wire.name", Category.X``.

    Convenient for a catalog of your own; a plain ``StrEnum`` works too, then only the metadata
    knows the category.
    """

    category: StrEnum

    def __new__(cls, wire_name: str, category: StrEnum | None = None) -> Self:
        """Make a member whose value is ``wire_name``.

        Raises:
            TypeError: the member is declared without a category.
        """
        if category is None:
            raise TypeError(f'Declare it with its category: NAME = "{wire_name}", Category.MEMBER')
        member = str.__new__(cls, wire_name)
        member._value_ = wire_name
        member.category = category
        return member


class SSEEventCategory(StrEnum):
    """Categories by which a client filters: ``GET /api/v1/events?categories=data_sync,provider``."""

    DATA_SYNC = "data_sync"
    """Account, transaction, and holdings sync events."""
    PROVIDER = "provider"
    """Provider connection health and token events."""
    AI = "ai"
    """AI assistant streaming."""
    IMPORT = "import"
    """File import progress."""
    PORTFOLIO = "portfolio"
    """Balance and holdings update events."""
    SECURITY = "security"
    """Session and security notification events."""


class SSEEventType(EventType):
    """Every event type that the built-in catalog sends to clients, by wire name.

    What each tells, and its payload, is in docs/events.md.

    Wire names are two or three lowercase segments joined by dots. The category is metadata and is
    not derived from the name (``sync.*`` belongs to ``data_sync``).
    """

    SYNC_ACCOUNTS_STARTED = "sync.accounts.started", SSEEventCategory.DATA_SYNC
    SYNC_ACCOUNTS_COMPLETED = "sync.accounts.completed", SSEEventCategory.DATA_SYNC
    SYNC_ACCOUNTS_FAILED = "sync.accounts.failed", SSEEventCategory.DATA_SYNC
    SYNC_TRANSACTIONS_STARTED = "sync.transactions.started", SSEEventCategory.DATA_SYNC
    SYNC_TRANSACTIONS_COMPLETED = "sync.transactions.completed", SSEEventCategory.DATA_SYNC
    SYNC_TRANSACTIONS_FAILED = "sync.transactions.failed", SSEEventCategory.DATA_SYNC
    SYNC_HOLDINGS_STARTED = "sync.holdings.started", SSEEventCategory.DATA_SYNC
    SYNC_HOLDINGS_COMPLETED = "sync.holdings.completed", SSEEventCategory.DATA_SYNC
    SYNC_HOLDINGS_FAILED = "sync.holdings.failed", SSEEventCategory.DATA_SYNC
    PROVIDER_TOKEN_EXPIRING = "provider.token.expiring", SSEEventCategory.PROVIDER
    PROVIDER_TOKEN_REFRESHED = "provider.token.refreshed", SSEEventCategory.PROVIDER
    PROVIDER_TOKEN_FAILED = "provider.token.failed", SSEEventCategory.PROVIDER
    PROVIDER_DISCONNECTED = "provider.disconnected", SSEEventCategory.PROVIDER
    AI_RESPONSE_CHUNK = "ai.response.chunk", SSEEventCategory.AI
    AI_TOOL_EXECUTING = "ai.tool.executing", SSEEventCategory.AI
    AI_RESPONSE_COMPLETE = "ai.response.complete", SSEEventCategory.AI
    IMPORT_STARTED = "import.started", SSEEventCategory.IMPORT
    IMPORT_PROGRESS = "import.progress", SSEEventCategory.IMPORT
    IMPORT_COMPLETED = "import.completed", SSEEventCategory.IMPORT
    IMPORT_FAILED = "import.failed", SSEEventCategory.IMPORT
    PORTFOLIO_BALANCE_UPDATED = "portfolio.balance.updated", SSEEventCategory.PORTFOLIO
    PORTFOLIO_HOLDINGS_UPDATED = "portfolio.holdings.updated", SSEEventCategory.PORTFOLIO
    SECURITY_SESSION_NEW = "security.session.new", SSEEventCategory.SECURITY
    SECURITY_SESSION_SUSPICIOUS = "security.session.suspicious", SSEEventCategory.SECURITY
    SECURITY_SESSION_EXPIRING = "security.session.expiring", SSEEventCategory.SECURITY
