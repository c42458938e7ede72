"""FastStream on a Redis stream: what its two subscribers share: broker, ``Sender``, and how to run.

Settings: https://faststream.ag2.ai/latest/redis/streams/ (groups, batching) and .../redis/pipeline/ (pipelines).
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from faststream import FastStream
from faststream.redis import RedisBroker, StreamSub
from redis.exceptions import ResponseError

from benchmarks.peers.job import SENT_TOGETHER, broker_url, pack

STREAM = "peer"
RECORDS_MAX = 500
PIPELINED = 500


def make_broker() -> RedisBroker:
    """A broker without log lines for each message."""
    return RedisBroker(broker_url(), log_level=logging.DEBUG, logger=None)


def subscription(*, batch: bool) -> StreamSub:
    """A consumer of the one group, with a name of its own."""
    return StreamSub(
        STREAM, group="peer", consumer=uuid4().hex, batch=batch, max_records=RECORDS_MAX, polling_interval=100
    )


def run(broker: RedisBroker) -> None:
    """Run a worker process on uvloop until it is told to stop."""
    import uvloop

    uvloop.run(_run(broker))


async def _run(broker: RedisBroker) -> None:
    # A group that a subscriber makes begins at the stream's end: what was sent while we started would be lost.
    client = await broker.connect()
    with suppress(ResponseError):
        await client.xgroup_create(STREAM, "peer", id="0", mkstream=True)
    await FastStream(broker, logger=None).run()


class Sender:
    """``broker.publish``."""

    def __init__(self) -> None:
        self._broker = make_broker()

    async def one(self, event: Any) -> None:
        """One message."""
        await self._broker.connect()
        await self._broker.publish(pack(event), stream=STREAM)

    async def each(self, events: Sequence[Any]) -> None:
        """One message an event, many in flight."""
        for start in range(0, len(events), SENT_TOGETHER):
            await asyncio.gather(*(self.one(event) for event in events[start : start + SENT_TOGETHER]))

    async def burst(self, events: Sequence[Any]) -> None:
        """One message an event, in pipelines."""
        client = await self._broker.connect()
        for start in range(0, len(events), PIPELINED):
            async with client.pipeline(transaction=False) as pipe:
                for event in events[start : start + PIPELINED]:
                    await self._broker.publish(pack(event), stream=STREAM, pipeline=pipe)
                await pipe.execute()

    async def finish(self) -> None:
        """Nothing waits."""
