"""The helper functions of the seeds, and what a Registry derives from its tables."""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import pytest

from bridge.catalogs import finance as registry
from bridge.catalogs.finance import (
    REGISTRY,
    SSE_EVENT_REGISTRY,
    AccountSyncSucceeded,
    get_all_sse_event_types,
    get_domain_event_to_sse_mapping,
    get_events_by_category,
    get_registry_statistics,
    get_sse_event_metadata,
)
from bridge.model.events import DomainEvent, SSEEventCategory, SSEEventType
from bridge.model.registry import DomainToSSEMapping, Registry, SSEEventMetadata, queue_name, task_name


class Other(StrEnum):
    IMPOSTOR = "import.nothing"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (get_sse_event_metadata, ["event_type"]),
        (get_events_by_category, ["category"]),
        (get_all_sse_event_types, []),
        (get_registry_statistics, []),
        (get_domain_event_to_sse_mapping, []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_helpers_take_what_the_seeds_say(function: Callable[..., object], parameters: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == parameters
    assert function.__name__ in registry.__all__


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (SSEEventMetadata, ["event_type", "category", "description", "payload_fields"]),
        (DomainToSSEMapping, ["domain_event_class", "sse_event_type", "payload_extractor", "user_id_extractor"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_rows_take_the_fields_of_the_seeds_first_and_need_no_more(row: type[Any], names: list[str]) -> None:
    parameters = list(inspect.signature(row).parameters.values())
    assert [parameter.name for parameter in parameters[: len(names)]] == names
    assert all(parameter.default is not inspect.Parameter.empty for parameter in parameters[len(names) :])


def test_metadata_is_found_by_type_and_none_for_a_stranger() -> None:
    meta = get_sse_event_metadata(SSEEventType.SYNC_ACCOUNTS_COMPLETED)
    assert meta is not None
    assert meta.event_type is SSEEventType.SYNC_ACCOUNTS_COMPLETED
    assert meta.category is SSEEventCategory.DATA_SYNC
    assert get_sse_event_metadata(Other.IMPOSTOR) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("category", SSEEventCategory)
def test_a_category_lists_its_own_types_in_the_order_of_the_table(category: SSEEventCategory) -> None:
    listed = get_events_by_category(category)
    assert listed == [meta for meta in SSE_EVENT_REGISTRY if meta.category is category]
    listed.clear()
    assert get_events_by_category(category)


def test_all_types_come_in_the_order_of_the_table_as_a_list_of_ones_own() -> None:
    assert get_all_sse_event_types() == list(SSEEventType)
    assert all(type(event_type) is SSEEventType for event_type in get_all_sse_event_types())
    get_all_sse_event_types().clear()
    assert get_all_sse_event_types()


def test_statistics_hold_totals_and_counts_by_category_name() -> None:
    stats = get_registry_statistics()
    assert stats.keys() == {"total_event_types", "total_mappings", "by_category"}
    assert all(type(name) is str and type(count) is int for name, count in stats["by_category"].items())


def test_the_mapping_view_leads_from_class_to_mapping() -> None:
    view = get_domain_event_to_sse_mapping()
    assert isinstance(view, Mapping)
    assert view[AccountSyncSucceeded].sse_event_type is SSEEventType.SYNC_ACCOUNTS_COMPLETED
    assert DomainEvent not in view


def test_tasks_and_queues_follow_from_the_registry() -> None:
    mapping = REGISTRY.by_class[AccountSyncSucceeded]
    assert REGISTRY.task_of(mapping) == task_name("AccountSyncSucceeded") == "bridge.AccountSyncSucceeded"
    assert REGISTRY.queue_of(mapping) == queue_name(SSEEventCategory.DATA_SYNC) == "bridge.data_sync"
    assert REGISTRY.mapping_of_task("bridge.AccountSyncSucceeded") is mapping
    assert REGISTRY.mapping_of_task("AccountSyncSucceeded") is None
    assert REGISTRY.queues == tuple(f"bridge.{category}" for category in SSEEventCategory)


def test_wire_names_lead_to_types_and_strangers_are_a_value_error() -> None:
    assert REGISTRY.parse_type("import.started") is SSEEventType.IMPORT_STARTED
    assert REGISTRY.category_of(SSEEventType.IMPORT_STARTED) is SSEEventCategory.IMPORT
    with pytest.raises(ValueError, match=r"import\.nothing"):
        REGISTRY.parse_type("import.nothing")
    with pytest.raises(KeyError):
        REGISTRY.category_of(Other.IMPOSTOR)


def test_gaps_are_the_types_without_a_mapping() -> None:
    half = Registry(
        event_types=SSEEventType, categories=SSEEventCategory, events=SSE_EVENT_REGISTRY, mappings=REGISTRY.mappings[1:]
    )
    assert [meta.event_type for meta in half.gaps()] == [SSEEventType.SYNC_ACCOUNTS_STARTED]
    bare = Registry(event_types=SSEEventType, categories=SSEEventCategory, events=SSE_EVENT_REGISTRY)
    assert len(bare.gaps()) == len(SSEEventType)


def test_a_registry_says_what_it_holds() -> None:
    assert repr(REGISTRY) == f"<Registry of {len(REGISTRY.events)} event types and {len(REGISTRY.mappings)} mappings>"
