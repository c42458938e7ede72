"""The built-in catalog as a Registry, and the seeds' helper functions, which describe it."""

from typing import Any

from bridge.catalogs.finance.tables import (
    DOMAIN_TO_SSE_MAPPING as DOMAIN_TO_SSE_MAPPING,
)
from bridge.catalogs.finance.tables import (
    SSE_EVENT_REGISTRY as SSE_EVENT_REGISTRY,
)
from bridge.model.events.types import DomainEvent, SSEEventCategory, SSEEventType
from bridge.model.registry.metadata import DomainToSSEMapping, SSEEventMetadata
from bridge.model.registry.registry import Registry

REGISTRY = Registry(
    event_types=SSEEventType,
    categories=SSEEventCategory,
    events=SSE_EVENT_REGISTRY,
    mappings=DOMAIN_TO_SSE_MAPPING,
)

_IN_USE = (
    "The built-in registry was made of this table already, so a change would have no effect. "
    "Build a Registry of your own from its rows and yours: see docs/catalog.md."
)
SSE_EVENT_REGISTRY.seal(_IN_USE)
DOMAIN_TO_SSE_MAPPING.seal(_IN_USE)


def get_sse_event_metadata(event_type: SSEEventType) -> SSEEventMetadata | None:
    """Metadata of ``event_type``, or None if it is not registered."""
    return REGISTRY.metadata(event_type)


def get_events_by_category(category: SSEEventCategory) -> list[SSEEventMetadata]:
    """Metadata of every event type of ``category``, in the order of the table; empty if it has none."""
    return REGISTRY.in_category(category)


def get_all_sse_event_types() -> list[SSEEventType]:
    """Every registered event type, in the order of the table."""
    return [SSEEventType(meta.event_type) for meta in REGISTRY.events]


def get_registry_statistics() -> dict[str, Any]:
    """``total_event_types``, ``total_mappings`` and ``by_category`` (category → number of types)."""
    return REGISTRY.statistics()


def get_domain_event_to_sse_mapping() -> dict[type[DomainEvent], DomainToSSEMapping]:
    """Domain event class → its mapping, in a dict of the caller's own."""
    return dict(REGISTRY.by_class)
