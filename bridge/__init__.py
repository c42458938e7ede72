"""bridge: domain events to live browser updates, through Celery and Redis.

The entry point: public names, grouped by topic. Importing it connects to nothing and reads no environment, and loads
what emitting needs; the rest is loaded when it is asked for.
"""

# ruff: noqa: I001  (grouped by topic)

from bridge.runtime.interruption import expect_interruption, is_command

# In a program of yours nothing is touched; the command takes most of its start to load what follows.
if is_command():
    expect_interruption()

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

# Emitting
from bridge.producer import Emitter, configure, emit, emit_many, flush

# The language
from bridge.model.events import DomainEvent, Event

if TYPE_CHECKING:
    from bridge.model.events import EventType, SSEEvent, SSEEventCategory, SSEEventType, get_category_for_event_type

# Registry
from bridge.model.registry import (
    EVERYONE,
    Audience,
    DomainToSSEMapping,
    DropAfter,
    Registry,
    Retention,
    RetryPolicy,
    SSEEventMetadata,
    Supersede,
    Topic,
    User,
)
from bridge.catalogs import load_registry

if TYPE_CHECKING:
    from bridge.catalogs.shorthand import catalog_of

# The built-in catalog
if TYPE_CHECKING:
    from bridge.catalogs.finance import (
        DOMAIN_TO_SSE_MAPPING,
        SSE_EVENT_REGISTRY,
        get_all_sse_event_types,
        get_domain_event_to_sse_mapping,
        get_events_by_category,
        get_registry_statistics,
        get_sse_event_metadata,
    )

# Withdrawing rights
if TYPE_CHECKING:
    from bridge.rights import disconnect, disconnect_async

# Publishing without a worker
if TYPE_CHECKING:
    from bridge.producer import SSEEventHandler
    from bridge.redis_adapter import RedisSSEPublisher, SSEPublisherProtocol, get_sse_publisher
    from bridge.model.publishing import Receipt, ReceiptStatus

# Settings
from bridge.settings import Settings, load_settings

# What goes wrong
from bridge.model.errors import (
    BridgeError,
    BrokerRefusedError,
    BrokerUnavailableError,
    DeliveryError,
    EventRefusedError,
    PermanentError,
    RegistryError,
    SettingsError,
    StoreRefusedError,
    StoreUnavailableError,
)

__all__ = [
    "DOMAIN_TO_SSE_MAPPING",
    "EVERYONE",
    "SSE_EVENT_REGISTRY",
    "Audience",
    "BridgeError",
    "BrokerRefusedError",
    "BrokerUnavailableError",
    "DeliveryError",
    "DomainEvent",
    "DomainToSSEMapping",
    "DropAfter",
    "Emitter",
    "Event",
    "EventRefusedError",
    "EventType",
    "PermanentError",
    "Receipt",
    "ReceiptStatus",
    "RedisSSEPublisher",
    "Registry",
    "RegistryError",
    "Retention",
    "RetryPolicy",
    "SSEEvent",
    "SSEEventCategory",
    "SSEEventHandler",
    "SSEEventMetadata",
    "SSEEventType",
    "SSEPublisherProtocol",
    "Settings",
    "SettingsError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "Supersede",
    "Topic",
    "User",
    "catalog_of",
    "configure",
    "disconnect",
    "disconnect_async",
    "emit",
    "emit_many",
    "flush",
    "get_all_sse_event_types",
    "get_category_for_event_type",
    "get_domain_event_to_sse_mapping",
    "get_events_by_category",
    "get_registry_statistics",
    "get_sse_event_metadata",
    "get_sse_publisher",
    "load_registry",
    "load_settings",
]

_, __getattr__ = on_demand(
    __name__,
    {
        "bridge.model.events": "EventType SSEEvent SSEEventCategory SSEEventType get_category_for_event_type",
        "bridge.catalogs.shorthand": "catalog_of",
        "bridge.catalogs.finance": (
            "DOMAIN_TO_SSE_MAPPING SSE_EVENT_REGISTRY get_all_sse_event_types "
            "get_domain_event_to_sse_mapping get_events_by_category get_registry_statistics "
            "get_sse_event_metadata"
        ),
        "bridge.rights": "disconnect disconnect_async",
        "bridge.producer": "SSEEventHandler",
        "bridge.redis_adapter": "RedisSSEPublisher SSEPublisherProtocol get_sse_publisher",
        "bridge.model.publishing": "Receipt ReceiptStatus",
    },
)
