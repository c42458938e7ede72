"""Taskiq on a Redis stream.

Settings: https://taskiq-python.github.io/available-components/brokers.html (streams) and .../guide/cli.html (prefetch).
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from taskiq_redis import RedisStreamBroker

from benchmarks.peers.job import SENT_TOGETHER, AsyncPublisher, broker_url, pack

# From the beginning: by default a group begins at the stream's end, and misses what was sent while it started.
broker = RedisStreamBroker(broker_url(), consumer_id="0", xread_count=500)
publisher = AsyncPublisher()


@broker.task(task_name="publish")
async def publish(raw: dict[str, Any]) -> None:
    """Handle one event."""
    await publisher.publish(raw)


class Sender:
    """``kiq``."""

    def __init__(self) -> None:
        self._started = False

    async def one(self, event: Any) -> None:
        """One message."""
        if not self._started:
            self._started = True
            await broker.startup()
        await publish.kiq(pack(event))

    async def each(self, events: Sequence[Any]) -> None:
        """One message an event, many in flight."""
        for start in range(0, len(events), SENT_TOGETHER):
            await asyncio.gather(*(self.one(event) for event in events[start : start + SENT_TOGETHER]))

    async def burst(self, events: Sequence[Any]) -> None:
        """The same: Taskiq has nothing to send many at once."""
        await self.each(events)

    async def finish(self) -> None:
        """Nothing waits."""
