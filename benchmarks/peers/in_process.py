"""The in-process handler: no queue, no worker; an event bus awaits it, and it publishes to Redis itself."""

import asyncio
from collections.abc import Sequence
from typing import Any

from benchmarks.peers.job import SENT_TOGETHER, AsyncPublisher


class Sender:
    """Look up, extract, XADD and PUBLISH in the producer's own event loop."""

    def __init__(self) -> None:
        self._publisher = AsyncPublisher()

    async def one(self, event: Any) -> None:
        """One event: the caller waits for Redis."""
        await self._publisher.publish_events(event)

    async def each(self, events: Sequence[Any]) -> None:
        """One pipeline an event, many in flight."""
        for start in range(0, len(events), SENT_TOGETHER):
            await asyncio.gather(*(self.one(event) for event in events[start : start + SENT_TOGETHER]))

    async def burst(self, events: Sequence[Any]) -> None:
        """The same: the handler takes one event at a time."""
        await self.each(events)

    async def finish(self) -> None:
        """Nothing waits."""
