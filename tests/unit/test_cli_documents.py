"""The generated pages: what they say of a registry and of the settings, and what they must never show."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from bridge.catalogs.finance import REGISTRY
from bridge.cli.documents import (
    describe_registry,
    describe_settings,
    events_page,
    find_renames,
    settings_page,
)
from bridge.model.registry import Audience, DomainToSSEMapping, Registry, SSEEventMetadata
from bridge.settings import DECLARATIONS, Settings, environment_name


class Category(StrEnum):
    ORDERS = "orders"


class Kind(StrEnum):
    PAID = "order.paid"
    LOST = "order.lost"


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    event_id: UUID
    occurred_at: datetime
    user_id: UUID
    cents: int


def small_registry(**options: object) -> Registry:
    return Registry(
        event_types=Kind,
        categories=Category,
        events=[
            SSEEventMetadata(Kind.PAID, Category.ORDERS, "Paid | in full", ("amount",)),
            SSEEventMetadata(Kind.LOST, Category.ORDERS, "Lost"),
        ],
        mappings=[
            DomainToSSEMapping(
                OrderPaid, Kind.PAID, lambda event: {"amount": event.cents}, lambda event: event.user_id, **options
            )
        ],
    )


def test_every_type_and_mapping_is_described() -> None:
    described = describe_registry(REGISTRY)
    assert [row["type"] for row in described["events"]] == [meta.event_type.value for meta in REGISTRY.events]
    named = {source["domain_event"] for row in described["events"] for source in row["mappings"]}
    assert named == {row.domain_event_class.__name__ for row in REGISTRY.mappings}
    assert described["gaps"] == []


def test_renames_are_found_from_the_extractors_themselves() -> None:
    found = {row.domain_event_class.__name__: renames for row in REGISTRY.mappings if (renames := find_renames(row))}
    assert found == {
        "AccountSyncFailed": {"error": "reason"},
        "TransactionSyncFailed": {"error": "reason"},
        "HoldingsSyncFailed": {"error": "reason"},
        "ProviderTokenRefreshFailed": {"needs_reauth": "needs_user_action"},
        "FileImportSucceeded": {"records_imported": "transaction_count"},
        "FileImportFailed": {"error": "reason"},
        "SuspiciousSessionActivityDetected": {"reason": "activity_type"},
    }


def test_the_page_of_another_catalog_names_gaps_broadcasts_and_renames() -> None:
    page = events_page(small_registry(audience=Audience.BROADCAST))
    assert "`OrderPaid` (to everybody)" in page
    assert "`amount` ← `cents`" in page
    assert "Paid \\| in full" in page
    assert "- `order.lost`" in page


def test_every_setting_has_a_line_and_a_reason() -> None:
    page = settings_page()
    rows = describe_settings(Settings())
    assert len(rows) == len(DECLARATIONS)
    for row in rows:
        assert row["reason"], row
        assert f"| `{row['name']}` |" in page


def test_secrets_and_passwords_are_masked() -> None:
    settings = Settings(
        broker_url="sentinel://:hunter2@one:26379;sentinel://:hunter2@two:26379",
        redis_url="redis://user:hunter2@host:6379/0",
        jwt_secret="hunter2" * 8,
    )
    shown = {row["name"]: row["value"] for row in describe_settings(settings)}
    assert "hunter2" not in repr(shown)
    assert shown[environment_name("redis_url")] == "redis://user:***@host:6379/0"
    assert shown[environment_name("jwt_secret")] == "***"
