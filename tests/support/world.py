"""The world in which a schedule runs: its store, gateways, publisher and clients, and the judging of them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, assert_never
from uuid import UUID

import httpx

from bridge.gateway import create_app
from bridge.gateway.gateway import Gateway
from bridge.model.events import SSEEvent
from bridge.model.publishing import DIRECT, AddressedEvent, Delivery
from bridge.model.registry import Address
from bridge.model.withdrawal import session_target, user_target
from bridge.settings import Settings
from tests.support.event_source import AsgiCall, EventSource, read_over_http
from tests.support.exactly_once import Account, Publication, account
from tests.support.rights import Rights
from tests.support.schedules import (
    APART,
    AUDIENCES,
    PLACES,
    STREAM_TTL_S,
    TABS,
    TYPES,
    USERS,
    Breathe,
    Change,
    Connect,
    CutHub,
    Disconnect,
    EndSession,
    EndUser,
    Expire,
    Grant,
    Pause,
    Publish,
    Recheck,
    RestartGateway,
    RestartRedis,
    RuleTrouble,
    Schedule,
    SignIn,
    Step,
    Trim,
    Trouble,
    Withdraw,
)
from tests.support.stores import Store
from tests.support.streams import SECRET, Served
from tests.support.waiting import WAIT_S

SETTLES_WITHIN_S = WAIT_S
REPUBLISH_AFTER_S = 0.005


class House(Protocol):
    """Where the gateway lives."""

    async def open(self, settings: Settings, rights: Rights) -> None:
        """Start a gateway."""
        ...

    async def close(self, *, in_order: bool) -> None:
        """End it. Idempotent."""
        ...

    @property
    def gateway(self) -> Gateway | None:
        """The running one."""
        ...

    async def dial(self, source: EventSource) -> None:
        """See ``Dial``."""
        ...


class InLoop:
    """A gateway in this event loop: real but for the sockets of its clients, so a schedule takes milliseconds."""

    def __init__(self) -> None:
        self.gateway: Gateway | None = None
        self._app: Any = None
        self._calls: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def open(self, settings: Settings, rights: Rights) -> None:
        app = create_app(settings, rights.registry, authenticator=rights)
        await self._stack.enter_async_context(app.router.lifespan_context(app))
        self._app, self.gateway = app, app.state.gateway

    async def close(self, *, in_order: bool) -> None:
        self._app = self.gateway = None
        if not in_order:
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
        await self._stack.aclose()

    async def dial(self, source: EventSource) -> None:
        if self._app is None:
            raise ConnectionRefusedError
        call = asyncio.create_task(AsgiCall(self._app, source).run())
        self._calls.add(call)
        try:
            await asyncio.wait({call})
            if not call.cancelled():
                call.result()
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            self._calls.discard(call)


class OverHttp:
    """A gateway behind uvicorn and real sockets."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._served: Served | None = None

    @property
    def gateway(self) -> Gateway | None:
        return self._served.state if self._served else None

    async def open(self, settings: Settings, rights: Rights) -> None:
        served = Served(settings, registry=rights.registry, authenticator=rights)
        self._served = await asyncio.to_thread(served.__enter__)

    async def close(self, *, in_order: bool) -> None:
        served, self._served = self._served, None
        if served:
            await asyncio.to_thread(served.__exit__, None, None, None)

    async def dial(self, source: EventSource) -> None:
        if self._served is None:
            raise ConnectionRefusedError
        await read_over_http(self._client, self._served.url, source)


class World:
    """One schedule's store, gateways, publisher and clients."""

    def __init__(self, store: Store, houses: Sequence[House], schedule: Schedule) -> None:
        self._store = store
        self._houses = houses
        self._schedule = schedule
        self._settings = Settings(
            broker_url=store.url,
            prefix=store.prefix,
            jwt_secret=SECRET,
            stream_maxlen=schedule.stream_maxlen,
            stream_ttl_s=schedule.stream_ttl_s,
            gateway_queue_max=schedule.queue_max,
            gateway_topics_recheck_s=86_400,
        )
        self._publications: list[Publication] = []
        self._publishing: set[asyncio.Task[None]] = set()
        self._certain = 0
        self._audience_of: dict[str, tuple[Address, ...]] = {}
        self.rights = Rights(self._settings, self._audience_of)
        self._tabs = [
            EventSource(
                *tab, f"tab {number}", self._dial, lambda: len(self._publications), self._count_certain, self.rights
            )
            for number, tab in enumerate(TABS)
        ]

    async def _dial(self, source: EventSource) -> None:
        """As a load balancer: who comes back meets another gateway."""
        await self._houses[source.connections % len(self._houses)].dial(source)

    @property
    def _gateways(self) -> list[Gateway]:
        return [house.gateway for house in self._houses if house.gateway]

    async def _sign_in(self, *tabs: EventSource) -> None:
        await asyncio.sleep(0.001)  # what is issued in the ms of a disconnect counts as issued before it
        for tab in tabs:
            self.rights.sign_in(tab, self._store.now_s())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """An empty store and gateways that start; in the end nothing is left."""
        self._store.prepare(self._settings)
        await self._sign_in(*self._tabs)
        for house in self._houses:
            await house.open(self._settings, self.rights)
        try:
            yield
        finally:
            await asyncio.gather(*(tab.disconnect() for tab in self._tabs))
            for task in self._publishing:
                task.cancel()
            await asyncio.gather(*self._publishing, return_exceptions=True)
            for house in self._houses:
                await house.close(in_order=True)
            await self._store.close()

    async def play(self) -> list[Account]:
        """Run the schedule, let everybody come back and everything arrive; one account a client that ever came."""
        for step in self._schedule.steps:
            await self._do(step)
        self.rights.give_all_back()
        await self._sign_in(*self._tabs)
        for tab in self._tabs:
            if tab.connections:
                tab.connect()
        await self._settle()
        # What would arrive too late or twice arrives before these.
        for audience in range(len(PLACES)):
            self._start(self._publish(AUDIENCES[audience], 1, 0))
        await self._settle()
        assert len(self._gateways) == len(self._houses)
        counted = [gateway.counters for gateway in self._gateways]
        assert not any(counters.streams_failed or counters.messages_malformed for counters in counted)
        return self._accounts()

    async def _do(self, step: Step) -> None:
        match step:
            case Publish(audience, number, kind):
                self._start(self._publish(AUDIENCES[audience], number, kind))
            case Connect(tab):
                self._tabs[tab].connect()
            case Disconnect(tab):
                await self._tabs[tab].disconnect()
            case Pause(tab):
                self._tabs[tab].reading.clear()
            case Breathe(None):
                await self._settle(quiet=True)
            case Breathe(turns):
                for _ in range(turns or 0):
                    await asyncio.sleep(0)
            case Trim() | CutHub() | RestartGateway() | RestartRedis() | Expire():
                await self._trouble(step)
            case _:
                await self._change(step)

    async def _change(self, step: Change) -> None:
        match step:
            case Recheck():
                await self.rights.recheck(self._gateways)
            case EndUser(user):
                await self.rights.disconnect(self._store.withdraw, self._gateways, user_target(USERS[user]))
            case EndSession(tab):
                target = session_target(self._tabs[tab].session)
                await self.rights.disconnect(self._store.withdraw, self._gateways, target)
            case SignIn(tab):
                await self._sign_in(self._tabs[tab])
            case Withdraw() | Grant() | RuleTrouble():
                self.rights.change(step)
            case _:
                assert_never(step)

    async def _trouble(self, step: Trouble) -> None:
        match step:
            case RestartGateway(number, in_order):
                await self._houses[number % len(self._houses)].close(in_order=in_order)
                await self._houses[number % len(self._houses)].open(self._settings, self.rights)
            case Trim(place, keep, apart):
                await self._store.trim(PLACES[place], APART.name if apart else "", keep)
            case CutHub():
                await self._store.cut()
            case RestartRedis(keeps_memory):
                if not keeps_memory:
                    # An event in flight may be published before the loss and again after it, rightly.
                    await self._all_published()
                    # Nobody knows any more who was disconnected.
                    await self._sign_in(*self._tabs)
                await self._store.restart(keeps_memory=keeps_memory)
            case Expire():
                await self._all_published()
                await asyncio.sleep(STREAM_TTL_S + 0.05)
            case _:
                assert_never(step)

    # Publishing

    def _start(self, publishing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(publishing)
        self._publishing.add(task)

    async def _publish(self, told: tuple[Address, ...], number: int, kind: int) -> None:
        for _ in range(number):
            event = SSEEvent(event_type=TYPES[kind], user_id=UUID(int=9), data={})
            self._audience_of[str(event.event_id)] = told
            publication = Publication(
                event_id=str(event.event_id),
                told=told,
                category=TYPES[kind].category.value,
                begun=len(self._publications),
            )
            self._publications.append(publication)
            addressed = AddressedEvent(event=event, payload=b"{}", user_id=None, addresses=told)
            retention = APART if kind == len(TYPES) - 1 else None
            delivery = Delivery(
                event_type=TYPES[kind].value, events=[addressed], message_id=DIRECT, retention=retention
            )
            # As the worker does: the same event again, until it is published.
            while not (position := await self._store.publish(delivery)):  # noqa: ASYNC110  (polls what has no event)
                await asyncio.sleep(REPUBLISH_AFTER_S)
            publication.position = position

    def _count_certain(self) -> int:
        while self._certain < len(self._publications) and self._publications[self._certain].position:
            self._certain += 1
        return self._certain

    async def _all_published(self) -> None:
        publishing, self._publishing = self._publishing, set()
        await asyncio.gather(*publishing)

    # Judging

    def story(self) -> str:
        """What happened to whom, for whoever must find the cause."""
        lines = [str(self._schedule), *self.rights.leaks]
        names = {p.event_id: number for number, p in enumerate(self._publications)}
        lines += [
            f"{n} to {', '.join(map(str, p.told))} {p.category} at {p.position}"
            for n, p in enumerate(self._publications)
        ]
        for tab in self._tabs:
            if tab.entry:
                shown = [names.get(s.event_id, s.event_id) if s.event_id else "RESET" for s in tab.shown]
                faults = account(tab, self._publications).faults
                ear = [*map(str, tab.topics), *tab.categories]
                lines.append(f"{tab.user_id} {ear} {tab.entry} was shown {shown}: {faults}")
        return "\n".join(lines)

    def _accounts(self) -> list[Account]:
        return [account(tab, self._publications) for tab in self._tabs if tab.entry]

    async def _settle(self, *, quiet: bool = False) -> None:
        """Until everything is published, and shown to those who read; ``quiet`` leaves the judging for later."""
        await self._all_published()
        listening = [tab for tab in self._tabs if tab.listens and self.rights.let(tab)]
        deadline = asyncio.get_running_loop().time() + (1.0 if quiet else SETTLES_WITHIN_S)
        while any(not tab.entry or account(tab, self._publications).faults for tab in listening):
            beyond_mending = any(account(tab, self._publications).shown_wrongly for tab in listening)
            if beyond_mending or self.rights.leaks or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.002)
