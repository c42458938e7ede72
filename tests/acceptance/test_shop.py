"""A catalog of one's own runs through the whole bridge by setting BRIDGE_REGISTRY; nothing of bridge is changed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, connect
from examples.shop.catalog import registry
from examples.shop.events import OrderPlaced, ParcelShipped
from tests.support.counts import Counts
from tests.support.gateway import EVENTS_PATH, Listener, running_gateway, token_for
from tests.support.waiting import PROCESS_TIMEOUT_S, WAIT_S, wait_until
from tests.support.worker import ROOT, WorkerProcess, clean_environment, running_worker

SHOP = "examples.shop.catalog:registry"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(scope="module")
def worker(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    environment = {"BRIDGE_BROKER_URL": server.url, "BRIDGE_REGISTRY": SHOP}
    with running_worker(tmp_path_factory.mktemp("shop"), environment) as worker:
        yield worker


@pytest.fixture(scope="module")
def gateway(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environment = {"BRIDGE_BROKER_URL": server.url, "BRIDGE_REGISTRY": SHOP}
    with running_gateway(tmp_path_factory.mktemp("shop-gateway"), environment) as url:
        yield url


def place_order(server: EmbeddedServer, customer_id: UUID) -> None:
    """Run the example's producer as its README says."""
    subprocess.run(
        [sys.executable, "-m", "examples.shop.place_order", str(customer_id)],
        cwd=ROOT,
        env={**clean_environment(), "BRIDGE_BROKER_URL": server.url, "BRIDGE_REGISTRY": SHOP},
        check=True,
        capture_output=True,
        timeout=PROCESS_TIMEOUT_S,
    )


def test_an_order_reaches_its_customer_and_the_sale_reaches_everybody(server, worker: WorkerProcess, gateway) -> None:
    alice, bob = uuid4(), uuid4()
    at_alice, at_bob = Listener(gateway, alice), Listener(gateway, bob)
    place_order(server, alice)
    events = {str(event.event): json.loads(event.data) for event in at_alice.wait_for(4)}
    assert set(events) == {"order.placed", "order.paid", "parcel.shipped", "sale.started"}
    assert events["order.placed"] == {"order_number": "S-1001", "items": 2, "total": "9.80"}
    assert events["parcel.shipped"]["tracking_url"] == "https://swift.example/track/1Z9"
    assert [event.event for event in at_bob.wait_for(1)] == ["sale.started"]
    at_alice.close()
    at_bob.close()
    assert "bridge.orders" in worker.text()
    assert "bridge.data_sync" not in worker.text()


def test_categories_are_those_of_the_shop(gateway: str) -> None:
    headers = {"Authorization": f"Bearer {token_for(uuid4())}"}
    answer = httpx.get(f"{gateway}{EVENTS_PATH}?categories=data_sync", headers=headers)
    assert answer.status_code == 422
    assert "orders" in answer.text


def test_a_guest_is_skipped_and_an_unknown_carrier_is_dead_lettered_at_once(server, worker: WorkerProcess) -> None:
    settings = Settings(broker_url=server.url)
    client = connect(settings)
    counts = Counts(client)
    before = counts.read()
    emitter = Emitter(settings, registry)
    emitter.emit(OrderPlaced(customer_id=None, order_number="S-2", lines=()))
    emitter.emit(ParcelShipped(customer_id=uuid4(), order_number="S-3", carrier="owl", tracking_code="9"))
    assert emitter.flush(WAIT_S)
    wait_until(
        lambda: (
            {name: n - before[name] for name, n in counts.read().items() if n != before[name]}
            == {"accepted": 2, "skipped": 1, "dead": 1}
        ),
        what="one skipped, one dead",
    )
    letter = next(every_letter(DeadLetters(client, settings)))
    assert letter.failure.error_class == "examples.shop.catalog.UnknownCarrierError"
    assert len(letter.attempts) == 1
    emitter.close()
    client.close()
