"""Several teams' catalogs in one registry: what they share is there once, and a contradiction names both sides."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bridge.catalogs import load_registry
from bridge.catalogs.finance import REGISTRY
from bridge.model.errors import RegistryError
from bridge.model.events import EventType
from bridge.model.registry import DomainToSSEMapping, Registry, SSEEventMetadata, Topic
from bridge.model.registry.identity import identity_of


class Shop(StrEnum):
    ORDERS = "orders"


class ShopType(EventType):
    PAID = "order.paid", Shop.ORDERS


class Billing(StrEnum):
    INVOICES = "invoices"
    ORDERS = "orders"


class BillingType(EventType):
    SENT = "invoice.sent", Billing.INVOICES
    PAID = "order.paid", Billing.INVOICES


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    event_id: UUID
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class InvoiceSent:
    event_id: UUID
    occurred_at: datetime


NAMESAKE = make_dataclass("OrderPaid", [("event_id", UUID), ("occurred_at", datetime)])
NAMESAKE.__module__ = "billing.events"


def row(event_type: Any, category: Any = None) -> SSEEventMetadata:
    return SSEEventMetadata(event_type, category or event_type.category, "something happened")


def mapped(event_class: Any, event_type: Any) -> DomainToSSEMapping:
    return DomainToSSEMapping(event_class, event_type, lambda event: {}, lambda event: None)


def team(event_class: Any, event_type: Any, category: Any = None, **others: Any) -> Registry:
    """A registry of one type."""
    return Registry(
        event_types=[event_type],
        categories=[category or event_type.category],
        events=[row(event_type, category)],
        mappings=[mapped(event_class, event_type)],
        **others,
    )


SHOP = team(OrderPaid, ShopType.PAID)
BILLING = team(InvoiceSent, BillingType.SENT)


def faults_of(*registries: Registry) -> tuple[str, ...]:
    with pytest.raises(RegistryError) as caught:
        Registry.combined(*registries)
    return caught.value.faults


def test_two_teams_catalogs_and_the_built_in_one_are_one_registry() -> None:
    both = Registry.combined(REGISTRY, SHOP, BILLING)
    assert both.events == (*REGISTRY.events, *SHOP.events, *BILLING.events)
    assert both.queues == (*REGISTRY.queues, "bridge.orders", "bridge.invoices")
    assert both.by_class[OrderPaid] is SHOP.by_class[OrderPaid]
    assert both.task_of(both.by_class[InvoiceSent]) == "bridge.InvoiceSent"


def test_what_both_extend_is_there_once() -> None:
    shop = REGISTRY.extended(events=[row(ShopType.PAID)], mappings=[mapped(OrderPaid, ShopType.PAID)])
    billing = REGISTRY.extended(events=[row(BillingType.SENT)], topics=[Topic("invoice", int)])
    both = Registry.combined(shop, billing)
    assert both.event_types == (*REGISTRY.event_types, ShopType.PAID, BillingType.SENT)
    assert both.mappings == (*REGISTRY.mappings, shop.by_class[OrderPaid])
    assert both.topics == billing.topics
    assert len(REGISTRY.events) == 25


def test_one_registry_combined_is_the_same_catalog() -> None:
    assert identity_of(Registry.combined(REGISTRY)) == identity_of(REGISTRY) == identity_of(REGISTRY.extended())


def test_an_extension_may_use_a_category_that_is_there() -> None:
    extended = SHOP.extended(events=[row(BillingType.SENT, Shop.ORDERS)])
    assert extended.categories == (Shop.ORDERS,)
    assert extended.category_of(BillingType.SENT) is Shop.ORDERS


def test_users_and_topics_are_kept() -> None:
    shop = team(OrderPaid, ShopType.PAID, user_id=int, topics=[Topic("order", int)])
    billing = team(InvoiceSent, BillingType.SENT, user_id=int, topics=[Topic("order", int)])
    assert shop.extended().users == Registry.combined(shop, billing).users == shop.users
    assert [topic.name for topic in Registry.combined(shop, shop.extended()).topics] == ["order"]


def test_two_types_of_one_name_are_refused() -> None:
    assert faults_of(SHOP, team(InvoiceSent, BillingType.PAID)) == (
        f"one name for two members: the type 'order.paid' is {__name__}.ShopType.PAID and "
        f"{__name__}.BillingType.PAID; keep one.",
    )


def test_two_categories_of_one_name_are_refused() -> None:
    assert faults_of(SHOP, team(InvoiceSent, BillingType.SENT, Billing.ORDERS)) == (
        f"one name for two members: the category 'orders' is {__name__}.Shop.ORDERS and "
        f"{__name__}.Billing.ORDERS; keep one.",
    )
    with pytest.raises(RegistryError, match=r"'orders' is .*Shop\.ORDERS and .*Billing\.ORDERS"):
        SHOP.extended(events=[row(BillingType.SENT, Billing.ORDERS)])


def test_two_classes_of_one_name_are_refused() -> None:
    assert faults_of(SHOP, team(NAMESAKE, BillingType.SENT)) == (
        f"one name for two classes: {__name__}.OrderPaid and billing.events.OrderPaid are one task, "
        "bridge.OrderPaid; rename one.",
    )


def test_one_class_that_both_map_is_refused() -> None:
    assert faults_of(SHOP, team(OrderPaid, BillingType.SENT)) == (
        f"two mappings for one class: {__name__}.OrderPaid is mapped to {__name__}.ShopType.PAID and "
        f"{__name__}.BillingType.SENT; keep one.",
    )


def test_users_of_two_kinds_are_refused() -> None:
    assert faults_of(SHOP, BILLING, team(InvoiceSent, BillingType.SENT, user_id=int)) == (
        "users of two kinds: beside ShopType a user is a UUID, beside BillingType a whole number; "
        "give both registries the same user_id=.",
    )


def test_topics_that_differ_are_refused() -> None:
    shop = team(OrderPaid, ShopType.PAID, topics=[Topic("order", int)])
    billing = team(InvoiceSent, BillingType.SENT, topics=[Topic("order", str)])
    assert faults_of(shop, billing) == (
        "one name for two topics: Topic('order', int) and Topic('order', str) are given; keep one.",
    )


@pytest.mark.parametrize("junk", [{"events": 1}, {"events": ["x"]}, {"mappings": [None]}, {"topics": ["order"]}])
def test_what_is_no_row_is_refused_with_a_sentence(junk: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="of the wrong type"):
        SHOP.extended(**junk)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("team_one", "team_two"):
        sys.modules.pop(name, None)


def test_a_setting_may_name_several(modules: Path) -> None:
    (modules / "team_one.py").write_text(f"from {__name__} import SHOP\nfrom bridge.catalogs.finance import REGISTRY\n")
    (modules / "team_two.py").write_text(f"from {__name__} import BILLING as registry\n")
    found = load_registry("team_one:SHOP, team_two:registry,bridge.catalogs.finance:REGISTRY")
    assert found.mappings == (*SHOP.mappings, *BILLING.mappings, *REGISTRY.mappings)
    with pytest.raises(RegistryError, match=r"write it as 'package\.module:attribute'"):
        load_registry("team_one:SHOP,")
    with pytest.raises(RegistryError, match="there is no module 'team_three'"):
        load_registry("team_one:SHOP,team_three:registry")
