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
from bridge.model.registry import EVERYONE, RetryPolicy, TopicAddress, User
from bridge.model.withdrawal import read_order
from bridge.settings import Settings
from bridge.testing import MemoryStore
from tests.support.telling import OTHER, USER, event, name_of, publish
from tests.support.waiting import WAIT_S

SETTINGS = Settings(gateway_dev=True)
ORDER, ORG = TopicAddress("order", 42), TopicAddress("org", 7)


class Control:
    """What the hub makes known of the control channel: what was read before anybody was served, and what was heard."""

    def __init__(self, store: MemoryStore) -> None:
        self.channel = store.rights.channel
        self.known: list[str] = []
        self.loaded = 0
        self._store = store

    async def load(self) -> None:
        self.known += [mark.target for mark in (await self._store.rights.read()).marks]
        self.loaded += 1

    def hear(self, message: bytes) -> None:
        self.known.append(read_order(message).target)


class Gateway:
    """A hub with sessions over one store, and what each client was sent."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.counters = store, Counters()
        self.subscriptions = Subscriptions(store.channels)
        encoder = EventEncoder(REGISTRY, self.counters)
        self.reader = ReplayReader(store.event_log, encoder, self.counters)
        self.control = Control(store)
        self.hub = Hub(
            store.channels.connection, self.subscriptions, encoder.read, self.counters, self._vouch, self.control
        )
        self.tasks: list[asyncio.Task[Any]] = []

    async def _vouch(self, channel: str, message: bytes, heard_age_s: float) -> None:
        await self.store.event_log.vouch(channel, message)

    def connect(self, last_event_id: Any = None, *topics: TopicAddress) -> "Client":
        client = Client()
        wire = ResponseWriter({}, client.take, self.counters, send_timeout_s=5, heartbeat_s=60)
        session = Session(
            principal=Principal(user=USER),
            request=StreamRequest(topics=topics, resumes=last_event_id is not None, last_event_id=last_event_id),
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


@pytest.mark.parametrize("breathe_every", [1, 32])
async def test_who_hears_an_event_under_several_addresses_is_shown_it_once_live_replayed_and_in_between(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, breathe_every: int
) -> None:
    monkeypatch.setattr(hub_module, "BREATHE_EVERY", breathe_every)
    audiences = [(User(USER), ORDER, EVERYONE), (ORDER, ORG), (ORG,), (User(OTHER), ORDER), (User(USER), EVERYONE)]
    told = [event(None, None, *audiences[number % 5]) for number in range(60)]
    names = [name_of(one) for one in told]
    expected = {
        (ORDER, ORG): names,
        (ORG,): [name for number, name in enumerate(names) if number % 5 != 3],
        (): [name for number, name in enumerate(names) if number % 5 in (0, 4)],
    }
    async with running(store) as gateway:
        live = {topics: gateway.connect(None, *topics) for topics in expected}
        await until(lambda: all(b"live" in client.sent for client in live.values()))
        for number in range(0, 60, 5):
            publish(store.event_log, *told[number : number + 5])
            if number % 15 == 10:
                store.channels.cut()
            await until(lambda sent=number + 5: len(live[ORDER, ORG].ids) >= sent)
        for topics, client in live.items():
            await until(lambda topics=topics, client=client: len(client.ids) >= len(expected[topics]))
            assert client.ids == expected[topics]
        resumed = {topics: gateway.connect(told[4].event.event_id, *topics) for topics in expected}
        for topics, client in resumed.items():
            await until(lambda client=client: b"live" in client.sent)
            assert client.ids == [name for name in expected[topics] if name not in names[:5]]
            assert b"stream.reset" not in client.sent


async def test_who_comes_back_with_another_topic_gets_what_it_was_told_since(store: MemoryStore) -> None:
    before, own = event(None, None, ORDER), event()
    told = [event(None, None, ORDER), event(None, None, ORG), event()]
    publish(store.event_log, before, own, *told)
    async with running(store) as gateway:
        client = gateway.connect(own.event.event_id, ORDER)
        await until(lambda: b"live" in client.sent)
        assert client.ids == [name_of(told[0]), name_of(told[2])]


async def test_an_id_of_a_topic_that_is_not_heard_any_more_is_unknown_and_told_so(store: MemoryStore) -> None:
    topical, own = event(None, None, ORDER), event()
    publish(store.event_log, topical, own)
    async with running(store) as gateway:
        client = gateway.connect(topical.event.event_id)
        await until(lambda: b"live" in client.sent)
        assert b"unknown_id" in client.sent and client.ids == [name_of(own)]


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


async def test_what_the_control_channel_says_is_heard_or_read_before_anybody_is_served(store: MemoryStore) -> None:
    async with running(store) as gateway:
        await until(lambda: gateway.subscriptions.broadcast.confirmed.is_set())
        assert store.rights.withdraw("user:heard").gateways == 1
        await until(lambda: gateway.control.known == ["user:heard"])
        store.faults.go_away()
        store.channels.cut()
        await until(lambda: not gateway.subscriptions.broadcast.confirmed.is_set())
        store.faults.mend()
        assert store.rights.withdraw("user:missed").gateways == 0
        await until(lambda: gateway.subscriptions.broadcast.confirmed.is_set())
        assert gateway.control.known[1:] == ["user:heard", "user:missed"]
