"""Reading the history for many clients: what to replay to whom, with a bound on how many read at once."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from bridge.gateway.counters import Counters
from bridge.gateway.delivery import Delivery, Dispatch
from bridge.store import History, Position

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
    """Looks up and reads what is retained.

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

    async def now(self) -> Position:
        """As ``History.now``."""
        return await self._queue(self._history.now())

    async def locate(self, user_id: UUID, event_id: UUID) -> Position | None:
        """As ``History.locate``."""
        return await self._queue(self._history.locate(user_id, event_id))

    async def read(self, user_id: UUID, after: Position, read_at_ms: int) -> Chapter:
        """As ``History.read``."""
        page = await self._queue(self._history.read(user_id, after, read_at_ms=read_at_ms))
        self._counters.messages_malformed += page.malformed
        prepared = (self._dispatch.prepare(event) for event in page.events)
        return Chapter(
            deliveries=tuple(delivery for delivery in prepared if delivery),
            horizon=page.horizon,
            complete=page.complete,
            last=page.last,
            read_at_ms=page.read_at_ms,
        )

    async def _queue(self, reading: Awaitable[T]) -> T:
        try:
            async with self._desk:
                return await reading
        finally:
            # Cancelled in the queue: the reading was never begun.
            if asyncio.iscoroutine(reading):
                reading.close()
