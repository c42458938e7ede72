"""The built-in personal-finance catalog: 25 domain events, their event types, and the mappings between them."""

# ruff: noqa: I001  (each name twice on its line: so it is exported to the type checker of whoever imports it)

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.catalogs.finance.catalog import (
        DOMAIN_TO_SSE_MAPPING as DOMAIN_TO_SSE_MAPPING,
        REGISTRY as REGISTRY,
        SSE_EVENT_REGISTRY as SSE_EVENT_REGISTRY,
        get_all_sse_event_types as get_all_sse_event_types,
        get_domain_event_to_sse_mapping as get_domain_event_to_sse_mapping,
        get_events_by_category as get_events_by_category,
        get_registry_statistics as get_registry_statistics,
        get_sse_event_metadata as get_sse_event_metadata,
    )
    from bridge.catalogs.finance.events import (
        AccountBalanceUpdated as AccountBalanceUpdated,
        AccountHoldingsUpdated as AccountHoldingsUpdated,
        AccountSyncAttempted as AccountSyncAttempted,
        AccountSyncFailed as AccountSyncFailed,
        AccountSyncSucceeded as AccountSyncSucceeded,
        AIResponseChunkGenerated as AIResponseChunkGenerated,
        AIResponseCompleted as AIResponseCompleted,
        AIToolExecutionStarted as AIToolExecutionStarted,
        FileImportAttempted as FileImportAttempted,
        FileImportFailed as FileImportFailed,
        FileImportProgressed as FileImportProgressed,
        FileImportSucceeded as FileImportSucceeded,
        HoldingsSyncAttempted as HoldingsSyncAttempted,
        HoldingsSyncFailed as HoldingsSyncFailed,
        HoldingsSyncSucceeded as HoldingsSyncSucceeded,
        ProviderDisconnectionSucceeded as ProviderDisconnectionSucceeded,
        ProviderTokenExpiringSoon as ProviderTokenExpiringSoon,
        ProviderTokenRefreshFailed as ProviderTokenRefreshFailed,
        ProviderTokenRefreshSucceeded as ProviderTokenRefreshSucceeded,
        SessionCreated as SessionCreated,
        SessionExpiringSoon as SessionExpiringSoon,
        SuspiciousSessionActivityDetected as SuspiciousSessionActivityDetected,
        TransactionSyncAttempted as TransactionSyncAttempted,
        TransactionSyncFailed as TransactionSyncFailed,
        TransactionSyncSucceeded as TransactionSyncSucceeded,
    )

__all__, __getattr__ = on_demand(
    __name__,
    {
        "bridge.catalogs.finance.catalog": (
            "DOMAIN_TO_SSE_MAPPING REGISTRY SSE_EVENT_REGISTRY get_all_sse_event_types "
            "get_domain_event_to_sse_mapping get_events_by_category get_registry_statistics "
            "get_sse_event_metadata"
        ),
        "bridge.catalogs.finance.events": (
            "AccountBalanceUpdated AccountHoldingsUpdated AccountSyncAttempted AccountSyncFailed "
            "AccountSyncSucceeded AIResponseChunkGenerated AIResponseCompleted AIToolExecutionStarted "
            "FileImportAttempted FileImportFailed FileImportProgressed FileImportSucceeded "
            "HoldingsSyncAttempted HoldingsSyncFailed HoldingsSyncSucceeded ProviderDisconnectionSucceeded "
            "ProviderTokenExpiringSoon ProviderTokenRefreshFailed ProviderTokenRefreshSucceeded "
            "SessionCreated SessionExpiringSoon SuspiciousSessionActivityDetected TransactionSyncAttempted "
            "TransactionSyncFailed TransactionSyncSucceeded"
        ),
    },
)
