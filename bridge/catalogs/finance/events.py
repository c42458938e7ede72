"""The 25 domain events of the built-in personal-finance catalog; workflows come as Attempted, Succeeded, Failed."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from bridge.model.events.types import DomainEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountSyncAttempted(DomainEvent):
    """A provider's accounts are about to be read."""

    connection_id: UUID
    provider_slug: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountSyncSucceeded(DomainEvent):
    """A provider's accounts were read."""

    connection_id: UUID
    provider_slug: str
    account_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountSyncFailed(DomainEvent):
    """A provider's accounts could not be read."""

    connection_id: UUID
    provider_slug: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TransactionSyncAttempted(DomainEvent):
    """Transactions are about to be read; of all accounts when ``account_id`` is None."""

    connection_id: UUID
    account_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransactionSyncSucceeded(DomainEvent):
    """Transactions were read."""

    connection_id: UUID
    account_id: UUID | None = None
    transaction_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TransactionSyncFailed(DomainEvent):
    """Transactions could not be read."""

    connection_id: UUID
    account_id: UUID | None = None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldingsSyncAttempted(DomainEvent):
    """Holdings are about to be read; of all accounts when ``account_id`` is None."""

    connection_id: UUID
    account_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldingsSyncSucceeded(DomainEvent):
    """Holdings were read."""

    connection_id: UUID
    account_id: UUID | None = None
    holdings_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldingsSyncFailed(DomainEvent):
    """Holdings could not be read."""

    connection_id: UUID
    account_id: UUID | None = None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderTokenExpiringSoon(DomainEvent):
    """A provider's token is about to expire."""

    connection_id: UUID
    provider_slug: str
    expires_in_seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderTokenRefreshSucceeded(DomainEvent):
    """A provider's token was renewed."""

    connection_id: UUID
    provider_slug: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderTokenRefreshFailed(DomainEvent):
    """A provider's token could not be renewed."""

    connection_id: UUID
    provider_slug: str
    needs_user_action: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderDisconnectionSucceeded(DomainEvent):
    """A provider was disconnected."""

    connection_id: UUID
    provider_slug: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AIResponseChunkGenerated(DomainEvent):
    """The assistant wrote a piece of its answer."""

    conversation_id: UUID
    chunk: str
    is_final: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AIToolExecutionStarted(DomainEvent):
    """The assistant started to use a tool."""

    conversation_id: UUID
    tool_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AIResponseCompleted(DomainEvent):
    """The assistant's answer is complete."""

    conversation_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class FileImportAttempted(DomainEvent):
    """A file is about to be imported."""

    file_name: str
    file_format: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileImportProgressed(DomainEvent):
    """Part of a file was imported; ``progress_percent`` is 0..100."""

    file_name: str
    progress_percent: int | float
    records_processed: int
    total_records: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FileImportSucceeded(DomainEvent):
    """A file was imported."""

    file_name: str
    transaction_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FileImportFailed(DomainEvent):
    """A file could not be imported."""

    file_name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountBalanceUpdated(DomainEvent):
    """An account's balance changed; amounts are in ``currency`` (ISO 4217)."""

    account_id: UUID
    previous_balance: Decimal
    new_balance: Decimal
    currency: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountHoldingsUpdated(DomainEvent):
    """An account's holdings changed."""

    account_id: UUID
    holdings_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionCreated(DomainEvent):
    """The user signed in somewhere."""

    session_id: UUID
    device_info: str | None = None
    location: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SuspiciousSessionActivityDetected(DomainEvent):
    """Something about a session looks wrong."""

    session_id: UUID
    activity_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionExpiringSoon(DomainEvent):
    """A session is about to end."""

    session_id: UUID
    expires_in_seconds: int
