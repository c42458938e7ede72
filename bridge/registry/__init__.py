"""The law: which events exist, and which domain event becomes which. Pure; routing and tasks follow from it."""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand
from bridge.registry.addresses import EVERYONE, Address, Everyone, Topic, TopicAddress, User
from bridge.registry.identifiers import Id, IdType
from bridge.registry.loading import BUILT_IN, load_configured, load_registry
from bridge.registry.metadata import (
    Addressing,
    Audience,
    DomainToSSEMapping,
    DropAfter,
    RetryPolicy,
    SSEEventMetadata,
    Staleness,
    Supersede,
)
from bridge.registry.naming import queue_name, task_name
from bridge.registry.registry import Registry

if TYPE_CHECKING:
    from bridge.registry.builtin import (
        REGISTRY,
        get_all_sse_event_types,
        get_domain_event_to_sse_mapping,
        get_events_by_category,
        get_registry_statistics,
        get_sse_event_metadata,
    )
    from bridge.registry.tables import DOMAIN_TO_SSE_MAPPING, SSE_EVENT_REGISTRY

__all__ = [
    "BUILT_IN",
    "DOMAIN_TO_SSE_MAPPING",
    "EVERYONE",
    "REGISTRY",
    "SSE_EVENT_REGISTRY",
    "Address",
    "Addressing",
    "Audience",
    "DomainToSSEMapping",
    "DropAfter",
    "Everyone",
    "Id",
    "IdType",
    "Registry",
    "RetryPolicy",
    "SSEEventMetadata",
    "Staleness",
    "Supersede",
    "Topic",
    "TopicAddress",
    "User",
    "get_all_sse_event_types",
    "get_domain_event_to_sse_mapping",
    "get_events_by_category",
    "get_registry_statistics",
    "get_sse_event_metadata",
    "load_configured",
    "load_registry",
    "queue_name",
    "task_name",
]

__getattr__ = on_demand(
    __name__,
    {
        "bridge.registry.builtin": {
            "DOMAIN_TO_SSE_MAPPING",
            "REGISTRY",
            "SSE_EVENT_REGISTRY",
            "get_all_sse_event_types",
            "get_domain_event_to_sse_mapping",
            "get_events_by_category",
            "get_registry_statistics",
            "get_sse_event_metadata",
        },
    },
)
