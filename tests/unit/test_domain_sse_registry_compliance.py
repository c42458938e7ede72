"""The built-in catalog keeps its own law; tests/unit/test_registry_faults.py proves that these checks can fail."""

import json
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from bridge.catalogs.finance import DOMAIN_TO_SSE_MAPPING, REGISTRY, SSE_EVENT_REGISTRY, get_registry_statistics
from bridge.catalogs.finance import events as finance
from bridge.model.events import DomainEvent, SSEEventCategory, SSEEventType, encode_payload, get_category_for_event_type
from bridge.model.pipeline.pipeline import transform
from bridge.model.pipeline.rehearsal import rehearse
from bridge.model.registry import DomainToSSEMapping, SSEEventMetadata
from bridge.model.registry.sampling import sample_event

CATALOG = """
| SYNC_ACCOUNTS_STARTED | sync.accounts.started | data_sync | connection_id, provider_slug | AccountSyncAttempted |
| SYNC_ACCOUNTS_COMPLETED | sync.accounts.completed | data_sync | connection_id, provider_slug, account_count | AccountSyncSucceeded |
| SYNC_ACCOUNTS_FAILED | sync.accounts.failed | data_sync | connection_id, provider_slug, error | AccountSyncFailed: reason→error |
| SYNC_TRANSACTIONS_STARTED | sync.transactions.started | data_sync | connection_id, account_id | TransactionSyncAttempted |
| SYNC_TRANSACTIONS_COMPLETED | sync.transactions.completed | data_sync | connection_id, account_id, transaction_count | TransactionSyncSucceeded |
| SYNC_TRANSACTIONS_FAILED | sync.transactions.failed | data_sync | connection_id, account_id, error | TransactionSyncFailed: reason→error |
| SYNC_HOLDINGS_STARTED | sync.holdings.started | data_sync | connection_id, account_id | HoldingsSyncAttempted |
| SYNC_HOLDINGS_COMPLETED | sync.holdings.completed | data_sync | connection_id, account_id, holdings_count | HoldingsSyncSucceeded |
| SYNC_HOLDINGS_FAILED | sync.holdings.failed | data_sync | connection_id, account_id, error | HoldingsSyncFailed: reason→error |
| PROVIDER_TOKEN_EXPIRING | provider.token.expiring | provider | connection_id, provider_slug, expires_in_seconds | ProviderTokenExpiringSoon |
| PROVIDER_TOKEN_REFRESHED | provider.token.refreshed | provider | connection_id, provider_slug | ProviderTokenRefreshSucceeded |
| PROVIDER_TOKEN_FAILED | provider.token.failed | provider | connection_id, provider_slug, needs_reauth | ProviderTokenRefreshFailed: needs_user_action→needs_reauth |
| PROVIDER_DISCONNECTED | provider.disconnected | provider | connection_id, provider_slug | ProviderDisconnectionSucceeded |
| AI_RESPONSE_CHUNK | ai.response.chunk | ai | conversation_id, chunk, is_final | AIResponseChunkGenerated |
| AI_TOOL_EXECUTING | ai.tool.executing | ai | conversation_id, tool_name | AIToolExecutionStarted |
| AI_RESPONSE_COMPLETE | ai.response.complete | ai | conversation_id | AIResponseCompleted |
| IMPORT_STARTED | import.started | import | file_name, file_format | FileImportAttempted |
| IMPORT_PROGRESS | import.progress | import | file_name, progress_percent, records_processed | FileImportProgressed |
| IMPORT_COMPLETED | import.completed | import | file_name, records_imported | FileImportSucceeded: transaction_count→records_imported |
| IMPORT_FAILED | import.failed | import | file_name, error | FileImportFailed: reason→error |
| PORTFOLIO_BALANCE_UPDATED | portfolio.balance.updated | portfolio | account_id, previous_balance, new_balance, currency | AccountBalanceUpdated |
| PORTFOLIO_HOLDINGS_UPDATED | portfolio.holdings.updated | portfolio | account_id, holdings_count | AccountHoldingsUpdated |
| SECURITY_SESSION_NEW | security.session.new | security | session_id, device_info, location | SessionCreated |
| SECURITY_SESSION_SUSPICIOUS | security.session.suspicious | security | session_id, reason | SuspiciousSessionActivityDetected: activity_type→reason |
| SECURITY_SESSION_EXPIRING | security.session.expiring | security | session_id, expires_in_seconds | SessionExpiringSoon |
"""  # noqa: E501
"""The published catalog, word for word: what clients rely on, independent of the tables under test."""

ROWS = [tuple(cell.strip() for cell in line.strip(" |").split("|")) for line in CATALOG.strip().splitlines()]
USER = UUID("01890a5d-ac96-774b-bcce-b302099a8001")
MOMENT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def value_for(name: str, number: int) -> Any:
    """A value that no other field of the same event has, so that a swapped field shows."""
    if name.endswith("_id"):
        return UUID(int=USER.int + number)
    if name.endswith("_balance"):
        return Decimal(f"{number}00.10")
    if name in ("is_final", "needs_user_action"):
        return True
    if name.endswith(("_count", "_seconds", "_percent", "_processed", "_records")):
        return 40 + number
    return f"{name} {number}"


def event_with_distinct_values(event_class: type[DomainEvent]) -> DomainEvent:
    own = {field.name for field in fields(event_class)} - {field.name for field in fields(DomainEvent)}
    values = {name: value_for(name, number) for number, name in enumerate(sorted(own), start=1)}
    return event_class(user_id=USER, occurred_at=MOMENT, **values)


def as_json_value(value: object) -> object:
    return str(value) if isinstance(value, UUID | Decimal) else value


# Completeness


def test_all_sse_event_types_have_registry_metadata() -> None:
    assert {meta.event_type for meta in SSE_EVENT_REGISTRY} == set(SSEEventType)


def test_no_duplicate_event_types_in_registry() -> None:
    event_types = [meta.event_type for meta in SSE_EVENT_REGISTRY]
    assert len(event_types) == len(set(event_types))


def test_no_two_members_share_a_wire_name() -> None:
    assert len(SSEEventType.__members__) == len(list(SSEEventType))


def test_registry_category_matches_event_type_mapping() -> None:
    for meta in SSE_EVENT_REGISTRY:
        assert meta.category == get_category_for_event_type(SSEEventType(meta.event_type))


def test_statistics_expected_counts() -> None:
    stats = get_registry_statistics()
    assert stats["by_category"] == {
        "data_sync": 9, "provider": 4, "ai": 3, "import": 4, "portfolio": 2, "security": 3,
    }  # fmt: skip
    assert stats["total_event_types"] == sum(stats["by_category"].values()) == len(SSEEventType)
    assert stats["total_mappings"] == len(DOMAIN_TO_SSE_MAPPING)


def test_every_type_is_described_for_people_and_says_what_it_carries() -> None:
    descriptions = [meta.description for meta in SSE_EVENT_REGISTRY]
    assert all(descriptions)
    assert len(set(descriptions)) == len(descriptions)
    assert all(meta.payload_fields for meta in SSE_EVENT_REGISTRY)


def test_every_type_has_a_mapping_and_every_contract_could_be_checked() -> None:
    assert REGISTRY.gaps() == []
    assert rehearse(REGISTRY, event_max_bytes=65_536) == []


def test_every_domain_event_is_mapped_once() -> None:
    exported = {
        value
        for value in vars(finance).values()
        if isinstance(value, type) and issubclass(value, DomainEvent) and value is not DomainEvent
    }
    mapped = [mapping.domain_event_class for mapping in DOMAIN_TO_SSE_MAPPING]
    assert set(mapped) == exported
    assert len(mapped) == len(exported)


# The contract of each mapping


@pytest.mark.parametrize("mapping", DOMAIN_TO_SSE_MAPPING, ids=lambda row: row.domain_event_class.__name__)
def test_an_extractor_gives_exactly_the_promised_fields_in_order(mapping: DomainToSSEMapping) -> None:
    payload = mapping.payload_extractor(sample_event(mapping.domain_event_class))
    meta = REGISTRY.metadata(mapping.sse_event_type)
    assert meta is not None
    assert tuple(payload) == meta.payload_fields
    assert json.loads(encode_payload(payload)) == payload


def test_the_catalog_lists_every_type_in_the_order_of_the_table() -> None:
    assert [row[0] for row in ROWS] == [meta.event_type.name for meta in SSE_EVENT_REGISTRY]
    assert [row[0] for row in ROWS] == list(SSEEventType.__members__)
    assert list(dict.fromkeys(row[2] for row in ROWS)) == [category.value for category in SSEEventCategory]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_of_the_catalog_holds_from_name_to_payload_value(row: tuple[str, ...]) -> None:
    name, wire_name, category, payload_fields, event_and_renames = row
    class_name, _, renames = event_and_renames.partition(": ")
    source_of = {new: old for old, _, new in (pair.partition("→") for pair in renames.split(", ") if pair)}
    expected_fields = payload_fields.split(", ")
    meta = REGISTRY.metadata_of_wire_name(wire_name)
    mapping = REGISTRY.mapping_named(class_name)
    assert meta is not None
    assert mapping is not None
    assert (meta.event_type.name, meta.category.value, list(meta.payload_fields)) == (name, category, expected_fields)
    assert mapping.sse_event_type is meta.event_type

    event = event_with_distinct_values(mapping.domain_event_class)
    published = transform(event, mapping)
    assert published is not None
    assert (published.event_id, published.occurred_at, published.user_id) == (event.event_id, MOMENT, USER)
    assert list(published.data.items()) == [
        (field, as_json_value(getattr(event, source_of.get(field, field)))) for field in expected_fields
    ]
    assert json.loads(encode_payload(published.data)) == published.data


@pytest.mark.parametrize(
    ("event", "absent"),
    [
        (finance.TransactionSyncAttempted(user_id=USER, connection_id=USER), {"account_id"}),
        (finance.HoldingsSyncFailed(user_id=USER, connection_id=USER, reason="no"), {"account_id"}),
        (finance.SessionCreated(user_id=USER, session_id=USER), {"device_info", "location"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_absent_value_travels_as_null_and_not_as_the_word_none(event: DomainEvent, absent: set[str]) -> None:
    payload = REGISTRY.by_class[type(event)].payload_extractor(event)
    assert {name for name, value in payload.items() if value is None} == absent


@pytest.mark.parametrize("mapping", DOMAIN_TO_SSE_MAPPING, ids=lambda row: row.domain_event_class.__name__)
def test_an_event_for_nobody_makes_no_sse_event(mapping: DomainToSSEMapping) -> None:
    event = event_with_distinct_values(mapping.domain_event_class)
    changed = type(event)(**{field.name: getattr(event, field.name) for field in fields(event)} | {"user_id": None})
    assert transform(changed, mapping) is None


# Immutability


def test_the_tables_are_lists_that_cannot_be_changed_any_more() -> None:
    assert type(REGISTRY.events) is type(REGISTRY.mappings) is tuple
    tables: list[Any] = [SSE_EVENT_REGISTRY, DOMAIN_TO_SSE_MAPPING, SSE_EVENT_REGISTRY[0].payload_fields]
    for table in tables:
        assert isinstance(table, list)
        before = list(table)
        with pytest.raises(TypeError, match="immutable" if table is tables[-1] else "of your own"):
            table.append(table[0])
        with pytest.raises(TypeError, match="immutable" if table is tables[-1] else "of your own"):
            table[0] = table[1]
        with pytest.raises(TypeError, match="immutable" if table is tables[-1] else "of your own"):
            table += [table[0]]
        assert table == before == list(table)
        assert table == tuple(before)
        assert tuple(before) == table
        assert hash(table) == hash(tuple(before))


def test_a_list_of_payload_fields_is_frozen_by_the_metadata() -> None:
    names = ["a", "b"]
    meta = SSEEventMetadata(SSEEventType.IMPORT_STARTED, SSEEventCategory.IMPORT, "d", names)  # type: ignore[arg-type]
    names.append("c")
    assert meta.payload_fields == ("a", "b")


@pytest.mark.parametrize("row", [SSE_EVENT_REGISTRY[0], DOMAIN_TO_SSE_MAPPING[0]], ids=lambda row: type(row).__name__)
def test_a_row_cannot_be_changed(row: SSEEventMetadata | DomainToSSEMapping) -> None:
    for field in fields(row):
        with pytest.raises(FrozenInstanceError):
            setattr(row, field.name, None)


def test_the_mapping_view_is_read_only() -> None:
    view: Any = REGISTRY.by_class
    assert isinstance(view, MappingProxyType)
    with pytest.raises(TypeError):
        view[DomainEvent] = DOMAIN_TO_SSE_MAPPING[0]
    with pytest.raises(TypeError):
        del view[finance.AccountSyncFailed]


@pytest.mark.parametrize("name", ["events", "mappings", "event_types", "categories", "_metadata", "anything"])
def test_a_registry_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(REGISTRY, name, ())
    with pytest.raises(AttributeError, match="immutable"):
        delattr(REGISTRY, name)
    assert REGISTRY.events == SSE_EVENT_REGISTRY
