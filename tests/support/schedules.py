"""Schedules: what may befall a gateway and its clients; how they are drawn, and the world in which they run."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, assert_never
from uuid import UUID

import httpx
import redis
from hypothesis import strategies as st

from bridge.catalogs.finance import REGISTRY
from bridge.gateway import create_app
from bridge.gateway.gateway import Gateway
from bridge.local.redis_server import EmbeddedServer
from bridge.model.events import SSEEvent, SSEEventType
from bridge.model.position import Position
from bridge.redis_adapter import RedisSSEPublisher, connect_async
from bridge.settings import Settings
from tests.support.event_source import AsgiCall, EventSource, read_over_http
from tests.support.exactly_once import Account, Publication, account
from tests.support.keys import BROADCAST_STREAM, user_stream
from tests.support.streams import SECRET, Served
from tests.support.waiting import WAIT_S

USERS = tuple(UUID(int=number) for number in (1, 2, 3))
TYPES = (SSEEventType.IMPORT_PROGRESS, SSEEventType.PORTFOLIO_BALANCE_UPDATED, SSEEventType.AI_RESPONSE_CHUNK)
FILTERS = (frozenset[str](), frozenset({"import"}), frozenset({"import", "portfolio"}))
TABS = tuple((user, categories) for user in USERS[:2] for categories in FILTERS)
"""Who may listen. The third user never does: its events are noise."""
NODE_MAX = 2
"""Entries in a node of a stream; Redis trims whole nodes, and short ones let a short stream be trimmed."""
STREAM_TTL_S = 1
"""The shortest that there is, for schedules in which streams expire."""
SETTLES_WITHIN_S = WAIT_S
REPUBLISH_AFTER_S = 0.005


@dataclass(frozen=True)
class Publish:
    """Hand events to the publisher, and do not wait; ``user`` None is everybody."""

    user: int | None
    number: int
    kind: int


@dataclass(frozen=True)
class Connect:
    """A tab opens, or comes back, or reads on."""

    tab: int


@dataclass(frozen=True)
class Disconnect:
    """A tab hangs up."""

    tab: int


@dataclass(frozen=True)
class Pause:
    """A tab stops reading."""

    tab: int


@dataclass(frozen=True)
class Trim:
    """A stream is cut to its newest entries."""

    user: int | None
    keep: int


@dataclass(frozen=True)
class CutHub:
    """Redis closes the gateway's subscription."""


@dataclass(frozen=True)
class RestartGateway:
    """The gateway ends in order, or is torn off; another starts."""

    in_order: bool


@dataclass(frozen=True)
class RestartRedis:
    """Redis is killed and started again, with its AOF or without."""

    keeps_memory: bool


@dataclass(frozen=True)
class Expire:
    """Nothing happens for so long that the streams expire."""


@dataclass(frozen=True)
class Breathe:
    """The others get time: some turns of the event loop, or until all is published and shown."""

    turns: int | None


Step = Publish | Connect | Disconnect | Pause | Trim | CutHub | RestartGateway | RestartRedis | Expire | Breathe


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What happens.

    Attributes:
        steps: in this order.
        stream_maxlen: as the setting.
        queue_max: as ``gateway_queue_max``.
        stream_ttl_s: as the setting.
    """

    steps: tuple[Step, ...]
    stream_maxlen: int
    queue_max: int
    stream_ttl_s: int = 3600

    @property
    def forgets(self) -> bool:
        """Whether anything may be lost for good, so that resets are due."""
        return (
            self.stream_maxlen < 100
            or self.stream_ttl_s <= STREAM_TTL_S
            or any(isinstance(step, Trim) or step == RestartRedis(keeps_memory=False) for step in self.steps)
        )


def schedules(*, restarts: bool = True, forgetting: bool = True, expiring: bool = False) -> st.SearchStrategy[Schedule]:
    """Draw a schedule; one kind of step is as likely as another, but the everyday ones are drawn more often."""
    tabs = st.integers(0, len(TABS) - 1)
    everybody = st.sampled_from([0, 0, 1, 1, 2, None, None])
    publish = st.builds(Publish, everybody, st.integers(1, 6), st.integers(0, len(TYPES) - 1))
    connect = st.builds(Connect, tabs)
    breathe = st.builds(Breathe, st.sampled_from([0, 1, 3, 10, 30, None]))
    common: list[st.SearchStrategy[Any]] = [publish, publish, publish, connect, connect, breathe, breathe]
    common += [st.builds(Disconnect, tabs), st.builds(Pause, tabs), st.just(CutHub())]
    rare: list[st.SearchStrategy[Any]] = []
    if restarts:
        rare += [st.builds(RestartGateway, st.booleans()), st.just(RestartRedis(keeps_memory=True))]
    if forgetting:
        common.append(st.builds(Trim, everybody, st.integers(0, 3)))
        rare += [st.just(RestartRedis(keeps_memory=False))] if restarts else []
    if expiring:
        rare = [st.just(Expire())]
    everyday = st.lists(st.one_of(common), min_size=5, max_size=14)
    seldom = st.lists(st.one_of(rare), max_size=2) if rare else st.just([])
    coming = st.lists(connect, min_size=1, max_size=3)
    steps = st.tuples(coming, everyday, seldom, everyday).map(
        lambda parts: tuple(step for part in parts for step in part)
    )
    return st.builds(
        Schedule,
        steps=steps,
        stream_maxlen=st.sampled_from([1000, 1000, 3] if forgetting else [1000]),
        queue_max=st.sampled_from([512, 4]),
        stream_ttl_s=st.just(STREAM_TTL_S if expiring else 3600),
    )


class House(Protocol):
    """Where the gateway lives."""

    async def open(self, settings: Settings) -> None:
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

    async def open(self, settings: Settings) -> None:
        app = create_app(settings, REGISTRY)
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

    async def open(self, settings: Settings) -> None:
        self._served = await asyncio.to_thread(Served(settings).__enter__)

    async def close(self, *, in_order: bool) -> None:
        served, self._served = self._served, None
        if served:
            await asyncio.to_thread(served.__exit__, None, None, None)

    async def dial(self, source: EventSource) -> None:
        if self._served is None:
            raise ConnectionRefusedError
        await read_over_http(self._client, self._served.url, source)


class World:
    """One schedule's Redis, gateway, publisher and clients."""

    def __init__(self, server: EmbeddedServer, house: House, schedule: Schedule) -> None:
        self._server = server
        self._house = house
        self._schedule = schedule
        self._settings = Settings(
            broker_url=server.url,
            jwt_secret=SECRET,
            stream_maxlen=schedule.stream_maxlen,
            stream_ttl_s=schedule.stream_ttl_s,
            gateway_queue_max=schedule.queue_max,
        )
        self._publications: list[Publication] = []
        self._publishing: set[asyncio.Task[None]] = set()
        self._certain = 0
        self._client = connect_async(self._settings)
        self._publisher = RedisSSEPublisher(self._client, self._settings)
        self._tabs = [
            EventSource(user, categories, house.dial, lambda: len(self._publications), self._count_certain)
            for user, categories in TABS
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """An empty Redis and a gateway that starts; in the end nothing is left."""
        prepare(self._server)
        await self._house.open(self._settings)
        try:
            yield
        finally:
            await asyncio.gather(*(tab.disconnect() for tab in self._tabs))
            for task in self._publishing:
                task.cancel()
            await asyncio.gather(*self._publishing, return_exceptions=True)
            await self._house.close(in_order=True)
            await self._client.aclose()

    async def play(self) -> list[Account]:
        """Run the schedule, let everybody come back and everything arrive; one account a client that ever came."""
        for step in self._schedule.steps:
            await self._do(step)
        for tab in self._tabs:
            if tab.connections:
                tab.connect()
        await self._settle()
        # What would arrive too late or twice arrives before these.
        for user in (0, 1, None):
            self._start(self._publish(None if user is None else USERS[user], 1, 0))
        await self._settle()
        gateway = self._house.gateway
        assert gateway and not (gateway.counters.streams_failed or gateway.counters.messages_malformed)
        return self._accounts()

    async def _do(self, step: Step) -> None:
        match step:
            case Publish(user, number, kind):
                self._start(self._publish(None if user is None else USERS[user], number, kind))
            case Connect(tab):
                self._tabs[tab].connect()
            case Disconnect(tab):
                await self._tabs[tab].disconnect()
            case Pause(tab):
                self._tabs[tab].reading.clear()
            case RestartGateway(in_order):
                await self._house.close(in_order=in_order)
                await self._house.open(self._settings)
            case Breathe(None):
                await self._settle(quiet=True)
            case Breathe(turns):
                for _ in range(turns or 0):
                    await asyncio.sleep(0)
            case Trim() | CutHub() | RestartRedis() | Expire():
                await self._trouble(step)
            case _:
                assert_never(step)

    async def _trouble(self, step: Trim | CutHub | RestartRedis | Expire) -> None:
        match step:
            case Trim(user, keep):
                stream = BROADCAST_STREAM if user is None else user_stream(USERS[user])
                await self._client.xtrim(stream, maxlen=keep, approximate=False)
            case CutHub():
                await self._client.client_kill_filter(_type="pubsub")
            case RestartRedis(keeps_memory):
                if not keeps_memory:
                    # An event in flight may be published before the loss and again after it, rightly.
                    await self._all_published()
                await asyncio.to_thread(restart, self._server, keeps_memory=keeps_memory)
            case Expire():
                await self._all_published()
                await asyncio.sleep(STREAM_TTL_S + 0.05)

    # Publishing

    def _start(self, publishing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(publishing)
        self._publishing.add(task)

    async def _publish(self, user_id: UUID | None, number: int, kind: int) -> None:
        for _ in range(number):
            event = SSEEvent(event_type=TYPES[kind], user_id=user_id or UUID(int=9), data={})
            publication = Publication(
                event_id=str(event.event_id),
                user_id=user_id,
                category=TYPES[kind].category.value,
                begun=len(self._publications),
            )
            self._publications.append(publication)
            while publication.position is None:
                publication.position = await self._send(event, user_id)

    async def _send(self, event: SSEEvent, user_id: UUID | None) -> Position | None:
        publish = self._publisher
        receipt = await (publish.publish_to_user(user_id, event) if user_id else publish.broadcast(event))
        if receipt.position:
            return Position(receipt.position)
        # As the worker does: the same event again, until it is published.
        await asyncio.sleep(REPUBLISH_AFTER_S)
        return None

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
        lines = [str(self._schedule)]
        names = {p.event_id: number for number, p in enumerate(self._publications)}
        lines += [f"{n} to {p.user_id} {p.category} at {p.position}" for n, p in enumerate(self._publications)]
        for tab in self._tabs:
            if tab.entry:
                shown = [names.get(s.event_id, s.event_id) if s.event_id else "RESET" for s in tab.shown]
                faults = account(tab, self._publications).faults
                lines.append(f"{tab.user_id} {set(tab.categories)} {tab.entry} was shown {shown}: {faults}")
        return "\n".join(lines)

    def _accounts(self) -> list[Account]:
        return [account(tab, self._publications) for tab in self._tabs if tab.entry]

    async def _settle(self, *, quiet: bool = False) -> None:
        """Until everything is published, and shown to those who read; ``quiet`` leaves the judging for later."""
        await self._all_published()
        listening = [tab for tab in self._tabs if tab.listens]
        deadline = asyncio.get_running_loop().time() + (1.0 if quiet else SETTLES_WITHIN_S)
        while not all(tab.entry and not account(tab, self._publications).faults for tab in listening):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.002)


# Redis


def prepare(server: EmbeddedServer) -> None:
    """Empty it, and have it keep what it acknowledges in nodes that are short."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        client.config_set("appendfsync", "always")
        client.config_set("stream-node-max-entries", NODE_MAX)


def restart(server: EmbeddedServer, *, keeps_memory: bool) -> None:
    """Kill it and start it again."""
    server.kill()
    if not keeps_memory:
        shutil.rmtree(server.folder / "appendonlydir")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")
        client.config_set("stream-node-max-entries", NODE_MAX)
