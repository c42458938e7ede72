"""The whole journey with real processes: producer, Valkey, Celery worker, gateway, EventSource."""

import json
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest
import redis.asyncio

from bridge import RedisSSEPublisher, Settings, SSEEvent, SSEEventType
from bridge.catalogs.finance import REGISTRY
from bridge.local.redis_server import EmbeddedServer
from tests.support import producer
from tests.support.gateway import EVENTS_PATH, Listener, running_gateway, token_for
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.worker import ROOT, clean_environment, running_worker

LINK = {"connection_id": str(producer.CONNECTION)}
BANK = {**LINK, "provider_slug": "first-bank"}
ACCOUNT = {**LINK, "account_id": str(producer.ACCOUNT)}
TALK = {"conversation_id": str(producer.TALK)}
SESSION = {"session_id": str(producer.SESSION)}
FILE = {"file_name": "march.csv"}

EXPECTED = {
    "sync.accounts.started": BANK,
    "sync.accounts.completed": {**BANK, "account_count": 3},
    "sync.accounts.failed": {**BANK, "error": "no answer"},
    "sync.transactions.started": {**LINK, "account_id": None},
    "sync.transactions.completed": {**ACCOUNT, "transaction_count": 17},
    "sync.transactions.failed": {**ACCOUNT, "error": "line\nbreak\r\n and \u2028 and NUL \x00"},
    "sync.holdings.started": ACCOUNT,
    "sync.holdings.completed": {**ACCOUNT, "holdings_count": 4},
    "sync.holdings.failed": {**ACCOUNT, "error": "data: injected\n\nevent: evil"},
    "provider.token.expiring": {**BANK, "expires_in_seconds": 3600},
    "provider.token.refreshed": BANK,
    "provider.token.failed": {**BANK, "needs_reauth": True},
    "provider.disconnected": BANK,
    "ai.response.chunk": {**TALK, "chunk": "Grüße 🌍", "is_final": False},
    "ai.tool.executing": {**TALK, "tool_name": "search"},
    "ai.response.complete": TALK,
    "import.started": {**FILE, "file_format": "csv"},
    "import.progress": {**FILE, "progress_percent": 50, "records_processed": 5},
    "import.completed": {**FILE, "records_imported": 10},
    "import.failed": {**FILE, "error": "bad header"},
    "portfolio.balance.updated": {
        "account_id": str(producer.ACCOUNT),
        "previous_balance": "10.10",
        "new_balance": "20.20",
        "currency": "EUR",
    },
    "portfolio.holdings.updated": {"account_id": str(producer.ACCOUNT), "holdings_count": 2},
    "security.session.new": {**SESSION, "device_info": None, "location": None},
    "security.session.suspicious": {**SESSION, "reason": "new country"},
    "security.session.expiring": {**SESSION, "expires_in_seconds": 60},
}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway, with a worker behind it."""
    folder = tmp_path_factory.mktemp("journey")
    environment = {"BRIDGE_BROKER_URL": server.url}
    with running_worker(folder, environment), running_gateway(folder, environment) as url:
        yield url


def produce(server: EmbeddedServer, *arguments: str) -> list[str]:
    """Run the producer's process; the ids of what it emitted."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.support.producer", *arguments],
        cwd=ROOT,
        env={**clean_environment(), "BRIDGE_BROKER_URL": server.url},
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
        check=True,
    )
    return result.stdout.split()


async def broadcast(server: EmbeddedServer, number: int) -> UUID:
    """Tell everybody something; the id of it."""
    client = redis.asyncio.Redis.from_url(server.url)
    event = SSEEvent(event_type=SSEEventType.AI_RESPONSE_CHUNK, user_id=uuid4(), data={"number": number})
    receipt = await RedisSSEPublisher(client, Settings(broker_url=server.url)).broadcast(event)
    await client.aclose()
    assert receipt.ok
    return event.event_id


def test_the_expectations_cover_the_whole_catalog() -> None:
    assert list(EXPECTED) == [meta.event_type.value for meta in REGISTRY.events]


async def test_every_event_type_reaches_its_user_once_and_nobody_else(server: EmbeddedServer, gateway: str) -> None:
    alice, bob = uuid4(), uuid4()
    at_alice, at_bob = Listener(gateway, alice), Listener(gateway, bob)
    ids = produce(server, "catalog", str(alice))
    at_alice.wait_for(25)
    news = await broadcast(server, 1)
    events = at_alice.wait_for(26)
    assert [event.id for event in at_bob.wait_for(1)] == [str(news)]
    assert sorted(event.id for event in events) == sorted([*ids, str(news)])
    assert {event.event: json.loads(event.data) for event in events[:25]} == EXPECTED
    at_alice.close()
    at_bob.close()


async def test_what_was_missed_is_replayed_exactly_and_in_order(server: EmbeddedServer, gateway: str) -> None:
    alice = uuid4()
    first = Listener(gateway, alice)
    before = produce(server, "progress", str(alice), "10")
    assert [event.id for event in first.wait_for(10)] == before
    first.close()
    missed = produce(server, "progress", str(alice), "100")
    again = Listener(gateway, alice, last_event_id=before[-1])
    assert [event.id for event in again.wait_for(100)] == missed
    news = await broadcast(server, 2)
    later = produce(server, "progress", str(alice), "5")
    assert [event.id for event in again.wait_for(106)] == [*missed, str(news), *later]
    again.close()


def test_categories_are_filtered_live_and_in_replay(server: EmbeddedServer, gateway: str) -> None:
    alice = uuid4()
    everything = Listener(gateway, alice)
    filtered = Listener(gateway, alice, categories="import,security")
    ids = produce(server, "catalog", str(alice))
    everything.wait_for(25)
    wanted = [event.id for event in everything.events if str(event.event).startswith(("import.", "security."))]
    assert [event.id for event in filtered.wait_for(7)] == wanted
    replayed = Listener(gateway, alice, categories=["import", "security"], last_event_id=everything.events[0].id)
    rest = [event_id for event_id in wanted if event_id != everything.events[0].id]
    assert [event.id for event in replayed.wait_for(len(rest))] == rest
    assert len(ids) == 25
    for listener in (everything, filtered, replayed):
        listener.close()


def test_a_stranger_gets_no_stream(gateway: str) -> None:
    assert httpx.get(gateway + EVENTS_PATH).status_code == 401
    answer = httpx.get(
        gateway + EVENTS_PATH + "?categories=nonsense", headers={"Authorization": f"Bearer {token_for(uuid4())}"}
    )
    assert answer.status_code == 422
    assert "data_sync" in answer.text
