"""Closing the reader of the history while it reads: no connection is opened behind its back."""

import asyncio
from contextlib import suppress
from uuid import UUID

import pytest
import redis

from bridge.catalogs.finance import REGISTRY
from bridge.gateway.replay_reader import ReplayReader
from bridge.gateway.request import EventEncoder
from bridge.model.counting import Counters
from bridge.model.errors import StoreUnavailableError
from bridge.model.position import START
from bridge.model.registry import User
from bridge.redis_adapter import History, connect_async
from bridge.settings import Settings
from tests.support.streams import until

HEARD = (User(UUID(int=1)),)
TURNS = range(30)
"""Of the event loop; a first reading, which connects, takes fewer."""
TIMES = 5


def opened(settings: Settings) -> tuple["redis.asyncio.Redis", ReplayReader]:
    client = connect_async(settings)
    counters = Counters()
    return client, ReplayReader(History(client, settings), EventEncoder(REGISTRY, counters), counters)


@pytest.mark.parametrize("turns", TURNS)
async def test_a_reading_given_up_at_any_moment_leaves_no_connection(
    settings: Settings, redis_client: redis.Redis, turns: int
) -> None:
    before = len(redis_client.client_list())
    # Kept, or the garbage collector would close what was left open.
    clients = []
    for pause in range(TIMES):
        client, replay_reader = opened(settings)
        reading = asyncio.create_task(replay_reader.read(HEARD, START, 0))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        for _ in range(pause):
            await asyncio.sleep(0)
        await replay_reader.close()
        await client.aclose()
        with suppress(asyncio.CancelledError):
            await reading
        clients.append(client)
    # Connections of earlier tests may end meanwhile.
    await until(lambda: len(redis_client.client_list()) <= before)


async def test_a_closed_archive_reads_nothing(settings: Settings) -> None:
    client, replay_reader = opened(settings)
    await replay_reader.read(HEARD, START, 0)
    await replay_reader.close()
    with pytest.raises(StoreUnavailableError):
        await replay_reader.now()
    await client.aclose()
