"""The documents that this project began with, to the letter: samples, names, signatures, defaults and log fields."""

import dataclasses
import json
import pickle
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from pathlib import Path
from typing import get_type_hints
from uuid import UUID, uuid4

import pytest

from bridge.catalogs.finance import (
    DOMAIN_TO_SSE_MAPPING,
    SSE_EVENT_REGISTRY,
    AccountSyncSucceeded,
    get_all_sse_event_types,
    get_domain_event_to_sse_mapping,
    get_events_by_category,
    get_registry_statistics,
    get_sse_event_metadata,
)
from bridge.model.events import SSEEvent, SSEEventCategory, SSEEventType
from bridge.model.events.sse_event import _EVENT_TYPE_TO_CATEGORY, get_category_for_event_type
from bridge.model.registry import DomainToSSEMapping, SSEEventMetadata

user_id, conn_id = uuid4(), uuid4()
ROOT = Path(__file__).parents[2]

# The registry's document: its compliance tests


def test_all_sse_event_types_have_registry_metadata() -> None:
    registered_types = {m.event_type for m in SSE_EVENT_REGISTRY}
    for event_type in SSEEventType:
        assert event_type in registered_types


def test_registry_category_matches_event_type_mapping() -> None:
    for meta in SSE_EVENT_REGISTRY:
        expected = get_category_for_event_type(meta.event_type)  # type: ignore[arg-type]
        assert meta.category == expected


def test_every_event_type_has_a_category_mapping() -> None:
    assert isinstance(_EVENT_TYPE_TO_CATEGORY, dict)
    assert set(_EVENT_TYPE_TO_CATEGORY) == set(SSEEventType)
    for event_type, category in _EVENT_TYPE_TO_CATEGORY.items():
        assert isinstance(category, SSEEventCategory)
        assert get_category_for_event_type(event_type) is category


def test_statistics_expected_counts() -> None:
    stats = get_registry_statistics()
    expected = {
        "data_sync": 9,
        "provider": 4,
        "ai": 3,
        "import": 4,
        "portfolio": 2,
        "security": 3,
    }
    for cat_name, count in expected.items():
        assert stats["by_category"][cat_name] == count


def test_no_duplicate_event_types_in_registry() -> None:
    event_types = [m.event_type for m in SSE_EVENT_REGISTRY]
    assert len(event_types) == len(set(event_types))


# The registry's document: its samples


def test_the_registry_is_a_list_of_the_rows_that_are_given_word_for_word() -> None:
    assert isinstance(SSE_EVENT_REGISTRY, list)
    assert SSE_EVENT_REGISTRY[:2] == [
        SSEEventMetadata(
            event_type=SSEEventType.SYNC_ACCOUNTS_STARTED,
            category=SSEEventCategory.DATA_SYNC,
            description="Account sync operation started",
            payload_fields=["connection_id", "provider_slug"],
        ),
        SSEEventMetadata(
            event_type=SSEEventType.SYNC_ACCOUNTS_COMPLETED,
            category=SSEEventCategory.DATA_SYNC,
            description="Account sync operation completed successfully",
            payload_fields=["connection_id", "provider_slug", "account_count"],
        ),
    ]


def test_payload_fields_are_a_list_and_empty_by_default() -> None:
    meta = SSEEventMetadata(SSEEventType.IMPORT_STARTED, SSEEventCategory.IMPORT, "d")
    assert isinstance(meta.payload_fields, list)
    assert meta.payload_fields == []
    assert json.dumps(SSE_EVENT_REGISTRY[0].payload_fields) == '["connection_id", "provider_slug"]'
    with pytest.raises(FrozenInstanceError):
        meta.description = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="list of names"):
        SSEEventMetadata(SSEEventType.IMPORT_STARTED, SSEEventCategory.IMPORT, "d", "file_name")


def test_rows_can_be_copied_pickled_and_kept_in_sets() -> None:
    meta = SSE_EVENT_REGISTRY[1]
    for copy in (pickle.loads(pickle.dumps(meta)), deepcopy(meta), dataclasses.replace(meta)):
        assert copy == meta
        assert hash(copy) == hash(meta)
        with pytest.raises(TypeError, match="immutable"):
            copy.payload_fields.append("more")


def test_a_mapping_is_written_as_the_document_writes_it() -> None:
    mapping = DomainToSSEMapping(
        domain_event_class=AccountSyncSucceeded,
        sse_event_type=SSEEventType.SYNC_ACCOUNTS_COMPLETED,
        payload_extractor=lambda e: {
            "connection_id": str(e.connection_id),
            "provider_slug": e.provider_slug,
            "account_count": e.account_count,
        },
        user_id_extractor=lambda e: e.user_id,
    )
    event = AccountSyncSucceeded(user_id=user_id, connection_id=conn_id, provider_slug="bank", account_count=3)
    built_in = get_domain_event_to_sse_mapping()[AccountSyncSucceeded]
    assert isinstance(DOMAIN_TO_SSE_MAPPING, list)
    assert built_in in DOMAIN_TO_SSE_MAPPING
    assert mapping.payload_extractor(event) == built_in.payload_extractor(event)
    assert mapping.user_id_extractor(event) == built_in.user_id_extractor(event) == user_id


def test_metadata_is_found_as_the_document_says() -> None:
    meta = get_sse_event_metadata(SSEEventType.SYNC_ACCOUNTS_COMPLETED)
    assert meta is not None
    assert meta.description == "Account sync operation completed successfully"
    assert len(get_events_by_category(SSEEventCategory.DATA_SYNC)) == 9
    assert get_all_sse_event_types() == list(SSEEventType)
    assert type(get_all_sse_event_types()) is list
    stats = get_registry_statistics()
    assert type(stats) is type(stats["by_category"]) is dict
    assert stats["total_event_types"] == 25


def test_the_mapping_is_a_dict_of_ones_own() -> None:
    mapping = get_domain_event_to_sse_mapping()
    assert type(mapping) is dict
    if AccountSyncSucceeded in mapping:
        sse_mapping = mapping[AccountSyncSucceeded]
    assert sse_mapping.sse_event_type is SSEEventType.SYNC_ACCOUNTS_COMPLETED
    mapping.clear()
    assert AccountSyncSucceeded in get_domain_event_to_sse_mapping()


def test_an_equal_string_has_the_category_of_its_type() -> None:
    assert get_category_for_event_type("sync.accounts.completed") is SSEEventCategory.DATA_SYNC  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        get_category_for_event_type("export.completed")  # type: ignore[arg-type]


# The event's document


def test_an_event_has_the_fields_and_defaults_of_the_document() -> None:
    fields = {field.name: field for field in dataclasses.fields(SSEEvent)}
    assert list(fields) == ["event_type", "user_id", "data", "event_id", "occurred_at"]
    assert all(field.kw_only for field in fields.values())
    hints = get_type_hints(SSEEvent)
    assert (hints["user_id"], hints["event_id"], hints["occurred_at"]) == (UUID, UUID, datetime)
    event = SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=user_id, data={})
    assert event.event_id.version == 7
    assert event.occurred_at.tzinfo is UTC
    assert event.category is SSEEventCategory.IMPORT


def test_the_wire_format_is_that_of_the_documents_example() -> None:
    event = SSEEvent(
        event_id=UUID("019447f2-3a5b-7c8d-9e0f-1a2b3c4d5e6f"),
        event_type=SSEEventType.SYNC_ACCOUNTS_COMPLETED,
        user_id=user_id,
        data={"connection_id": "abc123", "account_count": 3},
    )
    assert event.to_sse_format() == (
        "id: 019447f2-3a5b-7c8d-9e0f-1a2b3c4d5e6f\n"
        "event: sync.accounts.completed\n"
        'data: {"connection_id": "abc123", "account_count": 3}\n'
        "\n"
    )


def test_an_event_becomes_a_dict_for_redis_and_comes_back() -> None:
    event = SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=user_id, data={"a": [1, None, 1.5, "ä"]})
    assert SSEEvent.from_dict(json.loads(json.dumps(event.to_dict()))) == event
    wire = event.to_dict()
    for name in wire:
        with pytest.raises(KeyError):
            SSEEvent.from_dict({key: value for key, value in wire.items() if key != name})
        with pytest.raises(ValueError, match=r"."):
            SSEEvent.from_dict(wire | {name: "no such value"})


EXPORT_TYPE = """    EXPORT_COMPLETED = "export.completed", SSEEventCategory.IMPORT
"""
EXPORT_ROW = """
SSE_EVENT_REGISTRY.append(
    SSEEventMetadata(
        event_type=T.EXPORT_COMPLETED,
        category=T.EXPORT_COMPLETED.category,
        description="File export operation completed successfully",
        payload_fields=["file_name", "file_url", "record_count"],
    )
)
"""
EXPORT_CHECK = """
from bridge.catalogs import finance as registry
from bridge.model.events import SSEEventCategory, SSEEventType
from bridge.model.events.sse_event import _EVENT_TYPE_TO_CATEGORY
meta = registry.get_sse_event_metadata(SSEEventType.EXPORT_COMPLETED)
assert meta.description == "File export operation completed successfully"
assert meta.payload_fields == ["file_name", "file_url", "record_count"]
assert meta in registry.get_events_by_category(SSEEventCategory.IMPORT)
assert _EVENT_TYPE_TO_CATEGORY[SSEEventType.EXPORT_COMPLETED] is SSEEventCategory.IMPORT
assert registry.get_registry_statistics()["total_event_types"] == 26
assert registry.REGISTRY.gaps() == [meta]
"""


def test_the_documents_own_example_of_a_new_type_works_in_the_sources(tmp_path: Path) -> None:
    """Emitted and published it is in tests/docs/test_catalog_page.py."""
    shutil.copytree(ROOT / "bridge", tmp_path / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in (("model/events/types.py", EXPORT_TYPE), ("catalogs/finance/tables.py", EXPORT_ROW)):
        with (tmp_path / "bridge" / name).open("a") as file:
            file.write(text)
    run = subprocess.run(
        [sys.executable, "-c", EXPORT_CHECK], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
