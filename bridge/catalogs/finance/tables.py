"""The built-in tables: event types with their payload contracts, and mappings. How to add a row: docs/catalog.md."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from bridge.catalogs.finance import events as e
from bridge.model.events.types import DomainEvent
from bridge.model.events.types import SSEEventType as T
from bridge.model.registry.metadata import DomainToSSEMapping, SSEEventMetadata
from bridge.model.registry.sealed_list import SealedList


def _event(event_type: T, description: str, *payload_fields: str) -> SSEEventMetadata:
    """A row of metadata; the category is the one that the type was declared with."""
    return SSEEventMetadata(event_type, event_type.category, description, payload_fields)


SSE_EVENT_REGISTRY: SealedList[SSEEventMetadata] = SealedList([
    # Data sync
    _event(T.SYNC_ACCOUNTS_STARTED, "Account sync operation started", "connection_id", "provider_slug"),
    _event(
        T.SYNC_ACCOUNTS_COMPLETED, "Account sync operation completed successfully",
        "connection_id", "provider_slug", "account_count",
    ),
    _event(T.SYNC_ACCOUNTS_FAILED, "Account sync operation failed", "connection_id", "provider_slug", "error"),
    _event(T.SYNC_TRANSACTIONS_STARTED, "Transaction sync operation started", "connection_id", "account_id"),
    _event(
        T.SYNC_TRANSACTIONS_COMPLETED, "Transaction sync operation completed successfully",
        "connection_id", "account_id", "transaction_count",
    ),
    _event(T.SYNC_TRANSACTIONS_FAILED, "Transaction sync operation failed", "connection_id", "account_id", "error"),
    _event(T.SYNC_HOLDINGS_STARTED, "Holdings sync operation started", "connection_id", "account_id"),
    _event(
        T.SYNC_HOLDINGS_COMPLETED, "Holdings sync operation completed successfully",
        "connection_id", "account_id", "holdings_count",
    ),
    _event(T.SYNC_HOLDINGS_FAILED, "Holdings sync operation failed", "connection_id", "account_id", "error"),
    # Provider
    _event(
        T.PROVIDER_TOKEN_EXPIRING, "A provider's token expires soon",
        "connection_id", "provider_slug", "expires_in_seconds",
    ),
    _event(T.PROVIDER_TOKEN_REFRESHED, "A provider's token was renewed", "connection_id", "provider_slug"),
    _event(
        T.PROVIDER_TOKEN_FAILED, "A provider's token could not be renewed",
        "connection_id", "provider_slug", "needs_reauth",
    ),
    _event(T.PROVIDER_DISCONNECTED, "A provider was disconnected", "connection_id", "provider_slug"),
    # AI
    _event(T.AI_RESPONSE_CHUNK, "A piece of the assistant's answer", "conversation_id", "chunk", "is_final"),
    _event(T.AI_TOOL_EXECUTING, "The assistant uses a tool", "conversation_id", "tool_name"),
    _event(T.AI_RESPONSE_COMPLETE, "The assistant's answer is complete", "conversation_id"),
    # Import
    _event(T.IMPORT_STARTED, "File import operation started", "file_name", "file_format"),
    _event(T.IMPORT_PROGRESS, "File import operation advanced", "file_name", "progress_percent", "records_processed"),
    _event(T.IMPORT_COMPLETED, "File import operation completed successfully", "file_name", "records_imported"),
    _event(T.IMPORT_FAILED, "File import operation failed", "file_name", "error"),
    # Portfolio
    _event(
        T.PORTFOLIO_BALANCE_UPDATED, "An account's balance changed",
        "account_id", "previous_balance", "new_balance", "currency",
    ),
    _event(T.PORTFOLIO_HOLDINGS_UPDATED, "An account's holdings changed", "account_id", "holdings_count"),
    # Security
    _event(T.SECURITY_SESSION_NEW, "A new session was opened", "session_id", "device_info", "location"),
    _event(T.SECURITY_SESSION_SUSPICIOUS, "A session behaves suspiciously", "session_id", "reason"),
    _event(T.SECURITY_SESSION_EXPIRING, "A session expires soon", "session_id", "expires_in_seconds"),
])  # fmt: skip
"""Metadata of the built-in event types, a row each. A list that cannot be changed: see docs/events.md."""

_FIELDS_OF = {meta.event_type: meta.payload_fields for meta in SSE_EVENT_REGISTRY}

_AS_TEXT = frozenset(
    {"connection_id", "account_id", "conversation_id", "session_id", "previous_balance", "new_balance"}
)
"""Fields that hold a UUID or a Decimal, which travel as strings."""


def _user_of(event: DomainEvent) -> UUID | None:
    return event.user_id


def _extractor(event_type: T, renames: dict[str, str]) -> Callable[[Any], dict[str, Any]]:
    """Copy the promised fields from the event; ``renames`` gives payload key → event field."""
    plan = tuple((key, renames.get(key, key), key in _AS_TEXT) for key in _FIELDS_OF[event_type])

    def extract(event: DomainEvent) -> dict[str, Any]:
        """The payload of one event."""
        payload: dict[str, Any] = {}
        for key, field_name, as_text in plan:
            value = getattr(event, field_name)
            payload[key] = str(value) if as_text and value is not None else value
        return payload

    return extract


def _map(event_class: type[DomainEvent], event_type: T, **renames: str) -> DomainToSSEMapping:
    return DomainToSSEMapping(event_class, event_type, _extractor(event_type, renames), _user_of)


DOMAIN_TO_SSE_MAPPING: SealedList[DomainToSSEMapping] = SealedList([
    # Data sync
    _map(e.AccountSyncAttempted, T.SYNC_ACCOUNTS_STARTED),
    _map(e.AccountSyncSucceeded, T.SYNC_ACCOUNTS_COMPLETED),
    _map(e.AccountSyncFailed, T.SYNC_ACCOUNTS_FAILED, error="reason"),
    _map(e.TransactionSyncAttempted, T.SYNC_TRANSACTIONS_STARTED),
    _map(e.TransactionSyncSucceeded, T.SYNC_TRANSACTIONS_COMPLETED),
    _map(e.TransactionSyncFailed, T.SYNC_TRANSACTIONS_FAILED, error="reason"),
    _map(e.HoldingsSyncAttempted, T.SYNC_HOLDINGS_STARTED),
    _map(e.HoldingsSyncSucceeded, T.SYNC_HOLDINGS_COMPLETED),
    _map(e.HoldingsSyncFailed, T.SYNC_HOLDINGS_FAILED, error="reason"),
    # Provider
    _map(e.ProviderTokenExpiringSoon, T.PROVIDER_TOKEN_EXPIRING),
    _map(e.ProviderTokenRefreshSucceeded, T.PROVIDER_TOKEN_REFRESHED),
    _map(e.ProviderTokenRefreshFailed, T.PROVIDER_TOKEN_FAILED, needs_reauth="needs_user_action"),
    _map(e.ProviderDisconnectionSucceeded, T.PROVIDER_DISCONNECTED),
    # AI
    _map(e.AIResponseChunkGenerated, T.AI_RESPONSE_CHUNK),
    _map(e.AIToolExecutionStarted, T.AI_TOOL_EXECUTING),
    _map(e.AIResponseCompleted, T.AI_RESPONSE_COMPLETE),
    # Import
    _map(e.FileImportAttempted, T.IMPORT_STARTED),
    _map(e.FileImportProgressed, T.IMPORT_PROGRESS),
    _map(e.FileImportSucceeded, T.IMPORT_COMPLETED, records_imported="transaction_count"),
    _map(e.FileImportFailed, T.IMPORT_FAILED, error="reason"),
    # Portfolio
    _map(e.AccountBalanceUpdated, T.PORTFOLIO_BALANCE_UPDATED),
    _map(e.AccountHoldingsUpdated, T.PORTFOLIO_HOLDINGS_UPDATED),
    # Security
    _map(e.SessionCreated, T.SECURITY_SESSION_NEW),
    _map(e.SuspiciousSessionActivityDetected, T.SECURITY_SESSION_SUSPICIOUS, reason="activity_type"),
    _map(e.SessionExpiringSoon, T.SECURITY_SESSION_EXPIRING),
])  # fmt: skip
"""The built-in mappings, one a domain event class. A list that cannot be changed: see docs/events.md."""
