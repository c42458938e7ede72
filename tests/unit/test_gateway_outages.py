"""Hub, replay reader and sessions on the twins: whatever breaks, a client gets each event once, or is told to reset."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.gateway import hub as hub_module
from bridge.gateway import session as session_module
from bridge.gateway.authenticator import Principal
from bridge.gateway.connection import ResponseWriter
from bridge.gateway.hub import Hub, Subscriptions
from bridge.gateway.replay_reader import ReplayReader
from bridge.gateway.request import EventEncoder, StreamRequest
from bridge.gateway.session import Session
from bridge.model.counting import Counters
from bridge.model.registry import RetryPolicy
from bridge.settings import Settings
from bridge.testing import MemoryStore
from tests.support.telling import OTHER, USER, event, name_of, publish
from tests.support.waiting import WAIT_S

SETTINGS = Settings(gateway_dev=True)


class Gateway:
    """A hub with sessions over one store, and what each client was sent."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.counters = store, Counters()
        self.subscriptions = Subscriptions(store.channels)
        encoder = EventEncoder(REGISTRY, self.counters)
        self.reader = ReplayReader(store.event_log, encoder, self.counters)
        self.hub = Hub(store.channels.connection, self.subscriptions, encoder.read, self.counters, self._vouch)
        self.tasks: list[asyncio.Task[Any]] = []

    async def _vouch(self, channel: str, message: bytes, heard_age_s: float) -> None:
        await self.store.event_log.vouch(channel, message)

    def connect(self, last_event_id: Any = None) -> "Client":
        client = Client()
        wire = ResponseWriter({}, client.take, self.counters, send_timeout_s=5, heartbeat_s=60)
        session = Session(
            principal=Principal(user=USER),
            request=StreamRequest(resumes=last_event_id is not None, last_event_id=last_event_id),
            wire=wire,
            subscriptions=self.subscriptions,
            replay_reader=self.reader,
            settings=SETTINGS,
            counters=self.counters,
        )
        self.tasks.append(asyncio.create_task(session.run(client.receive)))
        return client


class Client:
    """What was sent to one browser."""

    def __init__(self) -> None:
        self.sent = b""

    async def take(self, message: Mapping[str, Any]) -> None:
        self.sent += message.get("body", b"")

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    @property
    def ids(self) -> list[str]:
        """Ids of the events; a newcomer's first id is a position, and no UUID."""
        ids = [line[4:].decode() for line in self.sent.split(b"\n") if line.startswith(b"id: ")]
        return [one for one in ids if one.count("-") == 4]


@asynccontextmanager
async def running(store: MemoryStore) -> AsyncIterator[Gateway]:
    gateway = Gateway(store)
    gateway.tasks.append(asyncio.create_task(gateway.hub.run()))
    try:
        yield gateway
    finally:
        for task in gateway.tasks:
            task.cancel()
        await asyncio.gather(*gateway.tasks, return_exceptions=True)
        await gateway.reader.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  (polls what has no event)
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (hub_module, session_module):
        monkeypatch.setattr(module, "BACKOFF", RetryPolicy(base_s=0.001, cap_s=0.002))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(SETTINGS)


async def test_a_client_hears_its_own_events_and_the_broadcasts_as_they_are_published(store: MemoryStore) -> None:
    async with running(store) as gateway:
        client = gateway.connect()
        await until(lambda: b"live" in client.sent)
        told = [event(), event(OTHER), event(None), event()]
        publish(store.event_log, *told)
        await until(lambda: len(client.ids) == 3)
        assert client.ids == [name_of(one) for one in told if one.user_id != OTHER]


async def test_what_is_published_while_the_connection_is_cut_comes_once_and_in_order(store: MemoryStore) -> None:
    async with running(store) as gateway:
        client = gateway.connect()
        await until(lambda: b"live" in client.sent)
        told = [event(place) for place in (USER, None) * 5]
        for number in range(0, len(told), 2):
            publish(store.event_log, told[number])
            store.channels.cut()
            publish(store.event_log, told[number + 1])
            await until(lambda sent=number + 2: len(client.ids) == sent)
        assert client.ids == [name_of(one) for one in told]
        assert gateway.counters.redis_losses == 5


async def test_who_resumes_gets_what_was_missed_and_then_goes_live(store: MemoryStore) -> None:
    told = [event() for _ in range(500)]
    publish(store.event_log, *told)
    async with running(store) as gateway:
        client = gateway.connect(last_event_id=told[99].event.event_id)
        told.append(event())
        publish(store.event_log, told[-1])
        await until(lambda: len(client.ids) == 401)
        assert client.ids == [name_of(one) for one in told[100:]]
        assert b"stream.reset" not in client.sent


async def test_a_store_that_is_away_is_waited_for(store: MemoryStore) -> None:
    told = [event() for _ in range(3)]
    publish(store.event_log, *told)
    async with running(store) as gateway:
        first = gateway.connect()
        await until(lambda: b"live" in first.sent)
        store.faults.go_away()
        client = gateway.connect(last_event_id=told[0].event.event_id)
        await until(lambda: gateway.counters.backfill_retries >= 3)
        store.faults.mend()
        await until(lambda: len(client.ids) == 2)
        assert client.ids == [name_of(one) for one in told[1:]]


async def test_a_log_that_was_set_back_ends_in_a_reset_and_not_in_silence(store: MemoryStore) -> None:
    async with running(store) as gateway:
        client = gateway.connect()
        await until(lambda: b"live" in client.sent)
        lost = event()
        publish(store.event_log, lost)
        await until(lambda: client.ids == [name_of(lost)])
        store.event_log.set_back()
        store.channels.cut()
        await until(lambda: b"stream.reset" in client.sent)
        later = event()
        publish(store.event_log, later)
        await until(lambda: client.ids == [name_of(lost), name_of(later)])
