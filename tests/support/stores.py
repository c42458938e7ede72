"""The stores under a schedule: a Redis that can be killed, or the twins of its adapters, in memory."""

import asyncio
import shutil
import time
from contextlib import suppress
from itertools import count
from typing import ClassVar, Protocol

import pytest
import redis

from bridge.gateway import gateway as gateway_module
from bridge.local.redis_server import EmbeddedServer
from bridge.model.errors import StoreError
from bridge.model.position import Position
from bridge.model.publishing import Delivery
from bridge.model.registry import Address
from bridge.redis_adapter import RightsRecord, connect, connect_async
from bridge.redis_adapter.client import store_errors
from bridge.redis_adapter.script import script
from bridge.redis_adapter.settler import SettleCall
from bridge.settings import Settings
from bridge.testing import MemoryStore
from bridge.testing.state import ManualClock
from tests.support.keys import UNPREFIXED
from tests.support.schedules import NODE_MAX


class Store(Protocol):
    """What a schedule does to a store."""

    url: str
    prefix: str

    def prepare(self, settings: Settings) -> None:
        """Make it an empty one."""
        ...

    async def publish(self, delivery: Delivery) -> Position | None:
        """Publish one event; None if that is not certain."""
        ...

    async def trim(self, address: Address, retention: str, keep: int) -> None:
        """Cut a stream to its newest entries."""
        ...

    async def cut(self) -> None:
        """Close every subscription."""
        ...

    async def restart(self, *, keeps_memory: bool) -> None:
        """Be away for a moment, and forget everything or nothing."""
        ...

    def now_s(self) -> float:
        """What time it is there, in seconds since the epoch."""
        ...

    async def withdraw(self, target: str) -> int:
        """Disconnect a user or a session; returns a time in ms that is not after that."""
        ...

    async def close(self) -> None:
        """Leave nothing behind."""
        ...


class OnRedis:
    """A server, one schedule at a time."""

    prefix = ""

    def __init__(self, server: EmbeddedServer) -> None:
        self.url = server.url
        self._server = server

    def prepare(self, settings: Settings) -> None:
        """Have it keep what it acknowledges, in nodes that are short."""
        self._settings = settings
        self._client, self._settling = connect_async(settings), SettleCall(settings)
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
        self._configure()

    def _configure(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.config_set("appendfsync", "always")
            client.config_set("stream-node-max-entries", NODE_MAX)

    async def publish(self, delivery: Delivery) -> Position | None:
        with suppress(StoreError), store_errors():
            answer = await script("settle").send_async(self._client, self._settling.arguments([delivery]))
            receipt = self._settling.receipts(answer, 1)[0]
            return Position(receipt.position) if receipt.position else None
        return None

    async def trim(self, address: Address, retention: str, keep: int) -> None:
        stream = UNPREFIXED.stream(address) + (f":{retention}" if retention else "")
        await self._client.xtrim(stream, maxlen=keep, approximate=False)

    async def cut(self) -> None:
        await self._client.client_kill_filter(_type="pubsub")

    async def restart(self, *, keeps_memory: bool) -> None:
        await asyncio.to_thread(self._restart, keeps_memory)

    def _restart(self, keeps_memory: bool) -> None:
        self._server.kill()
        if not keeps_memory:
            shutil.rmtree(self._server.folder / "appendonlydir")
        self._server.start()
        self._configure()

    def now_s(self) -> float:
        return time.time()

    async def withdraw(self, target: str) -> int:
        at_ms = int(self.now_s() * 1000)
        with connect(self._settings) as client:
            RightsRecord(client, self._settings).withdraw(target)
        return at_ms

    async def close(self) -> None:
        await self._client.aclose()


class RunningClock(ManualClock):
    """Goes on by itself, as a token's times are compared with it."""

    def now_s(self) -> float:
        return time.time() + super().now_s()

    def now_ms(self) -> int:
        return int(self.now_s() * 1000)


class OnTwins:
    """A store in memory. Each has a prefix of its own, by which the gateways of ``gateways_on_twins`` find theirs."""

    url = "redis://127.0.0.1:1"
    _stores: ClassVar[dict[str, MemoryStore]] = {}
    _numbers = count(1)

    def __init__(self) -> None:
        self.prefix = f"{next(self._numbers)}:"

    def prepare(self, settings: Settings) -> None:
        self._store = self._stores[self.prefix] = MemoryStore(settings, RunningClock(0))

    @classmethod
    def of(cls, settings: Settings) -> MemoryStore:
        """The store that settings name."""
        return cls._stores[settings.prefix]

    async def publish(self, delivery: Delivery) -> Position | None:
        [event] = delivery.events
        self._store.event_log.publish([delivery])
        return await self._store.event_log.locate(event.told[:1], event.event.event_id)

    async def trim(self, address: Address, retention: str, keep: int) -> None:
        stream = self._store.event_log._streams.get((str(address), retention))
        while stream and len(stream.entries) > max(keep, 1):  # a stream of the twin's is never empty
            stream.entries.popleft()
            stream.trimmed = True

    async def cut(self) -> None:
        self._store.channels.cut()

    async def restart(self, *, keeps_memory: bool) -> None:
        self._store.clock.advance(0.001)  # in no time a new order would begin where the old one stood
        if not keeps_memory:
            self._store.event_log.set_back()
        self._store.channels.cut()

    def now_s(self) -> float:
        return self._store.clock.now_s()

    async def withdraw(self, target: str) -> int:
        at_ms = self._store.clock.now_ms()
        self._store.rights.withdraw(target)
        return at_ms

    async def close(self) -> None:
        del self._stores[self.prefix]


def gateways_on_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have gateways find twins where their adapters were; everything else of them is real."""
    monkeypatch.setattr(gateway_module, "gateway_ports", lambda settings: OnTwins.of(settings).gateway_ports)
