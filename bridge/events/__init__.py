"""The language: what a domain event and a published event are. Pure values, no I/O."""

from typing import TYPE_CHECKING

from bridge.events.domain import DomainEvent
from bridge.events.frame import comment_frame, event_frame, reset_frame, retry_frame
from bridge.events.json_payload import encode_payload
from bridge.events.sse_event import SSEEvent, get_category_for_event_type
from bridge.events.types import EventType, SSEEventCategory, SSEEventType
from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.events.finance import (
        AccountBalanceUpdated,
        AccountHoldingsUpdated,
        AccountSyncAttempted,
        AccountSyncFailed,
        AccountSyncSucceeded,
        AIResponseChunkGenerated,
        AIResponseCompleted,
        AIToolExecutionStarted,
        FileImportAttempted,
        FileImportFailed,
        FileImportProgressed,
        FileImportSucceeded,
        HoldingsSyncAttempted,
        HoldingsSyncFailed,
        HoldingsSyncSucceeded,
        ProviderDisconnectionSucceeded,
        ProviderTokenExpiringSoon,
        ProviderTokenRefreshFailed,
        ProviderTokenRefreshSucceeded,
        SessionCreated,
        SessionExpiringSoon,
        SuspiciousSessionActivityDetected,
        TransactionSyncAttempted,
        TransactionSyncFailed,
        TransactionSyncSucceeded,
    )


__all__ = [
    "AIResponseChunkGenerated",
    "AIResponseCompleted",
    "AIToolExecutionStarted",
    "AccountBalanceUpdated",
    "AccountHoldingsUpdated",
    "AccountSyncAttempted",
    "AccountSyncFailed",
    "AccountSyncSucceeded",
    "DomainEvent",
    "EventType",
    "FileImportAttempted",
    "FileImportFailed",
    "FileImportProgressed",
    "FileImportSucceeded",
    "HoldingsSyncAttempted",
    "HoldingsSyncFailed",
    "HoldingsSyncSucceeded",
    "ProviderDisconnectionSucceeded",
    "ProviderTokenExpiringSoon",
    "ProviderTokenRefreshFailed",
    "ProviderTokenRefreshSucceeded",
    "SSEEvent",
    "SSEEventCategory",
    "SSEEventType",
    "SessionCreated",
    "SessionExpiringSoon",
    "SuspiciousSessionActivityDetected",
    "TransactionSyncAttempted",
    "TransactionSyncFailed",
    "TransactionSyncSucceeded",
    "comment_frame",
    "encode_payload",
    "event_frame",
    "get_category_for_event_type",
    "reset_frame",
    "retry_frame",
]

__getattr__ = on_demand(
    __name__,
    "bridge.events.finance",
    {
        "AccountBalanceUpdated",
        "AccountHoldingsUpdated",
        "AccountSyncAttempted",
        "AccountSyncFailed",
        "AccountSyncSucceeded",
        "AIResponseChunkGenerated",
        "AIResponseCompleted",
        "AIToolExecutionStarted",
        "FileImportAttempted",
        "FileImportFailed",
        "FileImportProgressed",
        "FileImportSucceeded",
        "HoldingsSyncAttempted",
        "HoldingsSyncFailed",
        "HoldingsSyncSucceeded",
        "ProviderDisconnectionSucceeded",
        "ProviderTokenExpiringSoon",
        "ProviderTokenRefreshFailed",
        "ProviderTokenRefreshSucceeded",
        "SessionCreated",
        "SessionExpiringSoon",
        "SuspiciousSessionActivityDetected",
        "TransactionSyncAttempted",
        "TransactionSyncFailed",
        "TransactionSyncSucceeded",
    },
)
