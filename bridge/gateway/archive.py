"""Reading the history for many clients: what to replay to whom, with a bound on how many read at once."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from bridge.errors import StoreUnavailableError
from bridge.gateway.counters import Counters
from bridge.gateway.delivery import Delivery, Dispatch
from bridge.store import History, Page, Position
from bridge.supervision import end_tasks

READERS_MAX = 16
"""Reads of Redis at once; after an outage every client asks in the same moment, and each takes a connection."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """The next part of what a client missed; see ``bridge.store.Page`` for the fields that are the same.

    Attributes:
        deliveries: in order.
        horizon: everything up to here is in this part or was before it.
        complete: False when events may be missing for good.
        last: whether this part reaches the newest event.
        read_at_ms: hand it to the next reading.
    """

    deliveries: tuple[Delivery, ...]
    horizon: Position
    complete: bool
    last: bool
    read_at_ms: int


class Archive:
    """Looks up and reads what is retained, until it is closed; what is asked later gets StoreUnavailableError.

    Args:
        history: where it is retained.
        dispatch: makes deliveries of it.
        counters: learns of malformed entries.
    """

    def __init__(self, history: History, dispatch: Dispatch, counters: Counters) -> None:
        self._history = history
        self._dispatch = dispatch
        self._counters = counters
        self._desk = asyncio.Semaphore(READERS_MAX)
        self._readings: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def now(self) -> Chapter:
        """As ``History.now``."""
        return self._chapter(await self._queue(self._history.now))

    async def locate(self, user_id: UUID, event_id: UUID) -> Position | None:
        """As ``History.locate``."""
        return await self._queue(lambda: self._history.locate(user_id, event_id))

    async def read(self, user_id: UUID, after: Position, read_at_ms: int) -> Chapter:
        """As ``History.read``."""
        page = await self._queue(lambda: self._history.read(user_id, after, read_at_ms=read_at_ms))
        return self._chapter(page)

    async def close(self) -> None:
        """End what is being read, and read nothing more. Call it before the history's client is closed.

        Sessions may still be ending, and a server in a hurry does not wait for them. A reading that went on would
        open a connection in a pool that is closed already.
        """
        self._closed = True
        await end_tasks(*self._readings)

    def _chapter(self, page: Page) -> Chapter:
        self._counters.messages_malformed += page.malformed
        prepared = (self._dispatch.prepare(event) for event in page.events)
        return Chapter(
            deliveries=tuple(delivery for delivery in prepared if delivery),
            horizon=page.horizon,
            complete=page.complete,
            last=page.last,
            read_at_ms=page.read_at_ms,
        )

    async def _queue(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self._closed:
            raise StoreUnavailableError("This gateway reads no more: it is shutting down.")
        task = asyncio.create_task(self._in_turn(read))
        self._readings.add(task)
        task.add_done_callback(self._readings.discard)
        # Whoever is told to stop waiting tells the task.
        return await task

    async def _in_turn(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._desk:
            return await read()
