"""examples/shop: what adopters copy must be right, without a broker or a worker."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bridge.catalogs import load_registry
from bridge.catalogs.finance import REGISTRY
from bridge.model.pipeline import Dead, EventCodec, Pipeline, Published, Skipped
from bridge.model.pipeline.rehearsal import rehearse
from bridge.model.registry import Audience, RetryPolicy
from examples.shop import events, place_order
from examples.shop.catalog import registry
from tests.support.waiting import PROCESS_TIMEOUT_S

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop"
CUSTOMER = place_order.DEMO_CUSTOMER


def outcome_of(event: Any) -> Any:
    """What the worker would decide, over the wire and back."""
    mapping = registry.by_class[type(event)]
    raw = json.loads(EventCodec(type(event)).encode(event, source="shop"))
    pipeline = Pipeline(registry, retry=RetryPolicy(), event_max_bytes=65_536, random=lambda: 0.0)
    return pipeline.run(mapping, raw)


def emitted(monkeypatch: pytest.MonkeyPatch, customer_id: UUID | None) -> list[Any]:
    """The events that the producer hands to ``emit``."""
    taken: list[Any] = []

    def emit(event: Any) -> bool:
        taken.append(event)
        return True

    monkeypatch.setattr(place_order, "emit", emit)
    assert place_order.place_order(customer_id, "S-1")
    return taken


def test_the_catalog_is_found_by_its_path_and_is_nobody_elses() -> None:
    assert load_registry("examples.shop.catalog:registry") is registry
    assert registry.queues == ("bridge.orders", "bridge.delivery", "bridge.offers")
    assert not {meta.event_type for meta in registry.events} & {meta.event_type for meta in REGISTRY.events}


def test_the_catalog_has_no_gap_and_every_contract_is_checked() -> None:
    assert registry.gaps() == []
    assert rehearse(registry, event_max_bytes=65_536) == []


def test_the_domain_events_know_nothing_of_bridge() -> None:
    assert not re.search(r"^\s*(from|import) bridge", (SHOP / "events.py").read_text(), re.MULTILINE)


def test_an_order_is_published_from_placing_to_shipping(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [outcome_of(event) for event in emitted(monkeypatch, CUSTOMER)]
    assert all(isinstance(outcome, Published) for outcome in outcomes)
    told = [(outcome.event.event_type.value, json.loads(outcome.payload)) for outcome in outcomes]
    assert told[:3] == [
        ("order.placed", {"order_number": "S-1", "items": 2, "total": "9.80"}),
        ("order.paid", {"order_number": "S-1", "amount": "9.80", "currency": "EUR"}),
        (
            "parcel.shipped",
            {"order_number": "S-1", "carrier": "swift", "tracking_url": "https://swift.example/track/1Z9"},
        ),
    ]
    assert told[3][0] == "sale.started"
    assert [outcome.event.user_id for outcome in outcomes[:3]] == [CUSTOMER] * 3
    assert [outcome.audience for outcome in outcomes] == [Audience.USER] * 3 + [Audience.BROADCAST]


def test_a_guests_order_has_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    order, sale = (outcome_of(event) for event in emitted(monkeypatch, None))
    assert isinstance(order, Skipped)
    assert isinstance(sale, Published)


def test_an_unknown_carrier_is_dead_at_once_and_says_what_to_do() -> None:
    outcome = outcome_of(
        events.ParcelShipped(customer_id=CUSTOMER, order_number="S-1", carrier="pigeon", tracking_code="1")
    )
    assert isinstance(outcome, Dead)
    assert outcome.failure.error_class == "examples.shop.catalog.UnknownCarrierError"
    assert "add it to TRACKING_PAGES" in outcome.failure.message


def test_amounts_keep_their_cents() -> None:
    line = events.OrderLine(article="tea", quantity=3, price=Decimal("0.10"))
    order = events.OrderPlaced(customer_id=CUSTOMER, order_number="S-2", lines=(line,))
    assert json.loads(outcome_of(order).payload)["total"] == "0.30"
    empty = outcome_of(replace(order, lines=()))
    assert json.loads(empty.payload)["total"] == "0.00"


def test_the_producer_says_what_to_do_when_the_registry_is_not_set() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "examples.shop.place_order"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 1
    assert "Is BRIDGE_REGISTRY=examples.shop.catalog:registry set?" in run.stderr


def test_the_readme_names_every_file_and_every_mapping() -> None:
    text = (SHOP / "README.md").read_text()
    named = set(re.findall(r"`(\w+\.py)`", text))
    assert named == {path.name for path in SHOP.glob("*.py")} - {"__init__.py"}
    for mapping in registry.mappings:
        row = f"| `{mapping.domain_event_class.__name__}` | `{mapping.sse_event_type.value}` |"
        assert row in text
