"""Reading the history for many clients: what to replay to which client, with a bound on how many read at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from bridge.gateway.request import EncodedEvent, EventEncoder
from bridge.model.bounds import (
    READERS_MAX,
    READERS_PER_USER_MAX,
    REPLAY_BYTES_MAX,
    REPLAY_BYTES_MIN,
    REPLAYS_BYTES_MAX,
)
from bridge.model.counting import Counters
from bridge.model.errors import StoreUnavailableError
from bridge.model.event_log import Page, PageOf
from bridge.model.position import Position
from bridge.model.registry import Address
from bridge.ports import EventLog
from bridge.runtime.supervision import end_tasks

T = TypeVar("T")

ReplayPage = PageOf[EncodedEvent]
"""The next part of what a client missed."""

Addresses = tuple[Address, ...]
"""What one client hears beside what is for everyone; its user's is the first."""
Place = tuple[Addresses, str, int]
"""Whose history, after which position, and when it was read last: who agrees in these gets the same answer."""


class _Readers:
    """The places of one user among the readers; with how many have one or wait for one."""

    __slots__ = ("places", "users")

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(READERS_PER_USER_MAX)
        self.users = 0


class _Reading:
    """One reading for all who want the same: it ends when it is done, or when the last of them has left."""

    __slots__ = ("began", "readers", "task")

    def __init__(self) -> None:
        self.began: int | None = None
        self.readers = 0
        self.task: asyncio.Task[ReplayPage]

    async def result(self) -> ReplayPage:
        """What was read. Who is told to stop waiting leaves the others theirs."""
        self.readers += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self.readers -= 1
            if not self.readers and not self.task.done():
                await end_tasks(self.task)


class ReplayReader:
    """Looks up and reads what is retained, until it is closed; what is asked later gets StoreUnavailableError.

    Clients of one user and the same topics, at one place, share a reading, and the page for as long as one of them
    holds it. A user has at most ``READERS_PER_USER_MAX`` of the ``READERS_MAX`` readings at once. The more pages are
    held by slow clients, the smaller are the next.
    """

    def __init__(self, history: EventLog, encoder: EventEncoder, counters: Counters) -> None:
        self._history = history
        self._encoder = encoder
        self._counters = counters
        self._places = asyncio.Semaphore(READERS_MAX)
        self._by_user: dict[Address, _Readers] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._readings: dict[Place, _Reading] = {}
        self._held: WeakValueDictionary[Place, ReplayPage] = WeakValueDictionary()
        self._turn = count()
        self._closed = False

    async def now(self) -> ReplayPage:
        """As ``EventLog.now``."""
        return self._page(await self._queue(self._history.now))

    async def locate(self, addresses: Addresses, event_id: UUID) -> Position | None:
        """As ``EventLog.locate``."""
        return await self._queue(lambda: self._history.locate(addresses, event_id))

    async def read(self, addresses: Addresses, after: Position, read_at_ms: int) -> ReplayPage:
        """As ``EventLog.read``, shared by all that ask for the same."""
        place = (addresses, str(after), read_at_ms)
        if held := self._held.get(place):
            return held
        asked = next(self._turn)
        while True:
            reading = self._readings.get(place)
            if reading is None or reading.task.done():
                reading = self._begin(place, after)
            page = await reading.result()
            # What was published after a reading had begun is not in it, and a client that came later still may have
            # heard it neither. Of a part that is not the last the rest is read on.
            if not page.last or (reading.began or 0) > asked:
                return page

    async def close(self) -> None:
        """End what is being read, and read nothing more. Call it before the history's client is closed.

        Sessions may still be ending, and a server in a hurry does not wait for them. A reading that went on would
        open a connection in a pool that is closed already.
        """
        self._closed = True
        await end_tasks(*self._tasks)

    def _begin(self, place: Place, after: Position) -> _Reading:
        addresses, _, read_at_ms = place
        reading = _Reading()

        async def read() -> ReplayPage:
            async with self._place_of(addresses[0]):
                found = await self._in_turn(lambda: self._read(reading, addresses, after, read_at_ms))
            page = self._page(found)
            if not page.last:
                self._held[place] = page
            return page

        reading.task = self._start(read())
        self._readings[place] = reading
        reading.task.add_done_callback(lambda _task: self._forget(place, reading))
        return reading

    def _forget(self, place: Place, reading: _Reading) -> None:
        if self._readings.get(place) is reading:
            del self._readings[place]

    async def _read(self, reading: _Reading, addresses: Addresses, after: Position, read_at_ms: int) -> Page:
        reading.began = next(self._turn)
        limit_bytes = min(REPLAY_BYTES_MAX, max(REPLAY_BYTES_MIN, REPLAYS_BYTES_MAX // (len(self._held) + 1)))
        return await self._history.read(addresses, after, read_at_ms=read_at_ms, limit_bytes=limit_bytes)

    @asynccontextmanager
    async def _place_of(self, user: Address) -> AsyncIterator[None]:
        """One of the user's places among the readers."""
        readers = self._by_user.setdefault(user, _Readers())
        readers.users += 1
        try:
            async with readers.places:
                yield
        finally:
            readers.users -= 1
            if not readers.users:
                del self._by_user[user]

    def _page(self, page: Page) -> ReplayPage:
        self._counters.messages_malformed += page.malformed
        prepared = (self._encoder.prepare(event) for event in page.events)
        return ReplayPage(
            events=tuple(event for event in prepared if event),
            horizon=page.horizon,
            complete=page.complete,
            last=page.last,
            read_at_ms=page.read_at_ms,
        )

    async def _queue(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        # Whoever is told to stop waiting tells the task.
        return await self._start(self._in_turn(read))

    def _start(self, reading: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        if self._closed:
            reading.close()
            raise StoreUnavailableError("This gateway reads no more: it is shutting down.")
        task = asyncio.create_task(reading)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _in_turn(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._places:
            return await read()
