"""What is read of the history at once is bounded in bytes, whatever its entries are like; and nothing falls between."""

import random
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import redis
import redis.asyncio

from bridge.model.event_log import Page
from bridge.model.position import START, Position
from bridge.model.registry import User
from bridge.redis_adapter import History, connect_async
from bridge.redis_adapter import event_log as history_module
from bridge.settings import Settings
from tests.support.streams import Source

USER = UUID(int=1)
LIMIT_BYTES = 50_000
LARGE, SMALL = 20_000, 10


@pytest.fixture
async def history(settings: Settings) -> AsyncIterator[History]:
    async with connect_async(settings) as client:
        yield History(client, settings)


async def pages(history: History) -> list[Page]:
    found, after = [], START
    while not found or not found[-1].last:
        found.append(await history.read([User(USER)], after, limit_bytes=LIMIT_BYTES))
        after = found[-1].horizon
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_pages_have_few_bytes_and_every_event_once(history: History, settings: Settings, seed: int) -> None:
    source, die, ids = Source(settings), random.Random(seed), list[str]()
    for _ in range(60):
        size = die.choice([SMALL, SMALL, SMALL, LARGE])
        ids += source.publish(die.choice([USER, USER, None]), die.choice([1, 20]), pad="x" * size)
    read = await pages(history)
    assert [event.event_id for page in read for event in page.events] == ids
    assert all(page.complete for page in read)
    # Two streams, each with its bound; and beside the payload an id, a type and a time.
    sizes = [sum(len(event.payload) for event in page.events) for page in read]
    assert max(sizes) <= 2 * LIMIT_BYTES
    source.close()


async def test_an_event_larger_than_a_page_is_one_of_its_own(history: History, settings: Settings) -> None:
    source = Source(settings)
    ids = source.publish(USER, 3, pad="x" * (LIMIT_BYTES + 1))
    assert [[event.event_id for event in page.events] for page in await pages(history)] == [[one] for one in ids]
    source.close()


async def test_of_an_entry_that_no_event_could_be_only_the_place_is_read(
    history: History, settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "ENTRY_BYTES_MAX", 100_000)
    source = Source(settings)
    before = source.publish(USER)
    position = redis_client.get("sse:position")
    ms, _, seq = str(position).partition("-")
    foreign = f"{ms}-{int(seq) + 1}"
    fields = {"event_id": str(uuid4()), "event_type": "import.progress", "data": '"' + "x" * 200_000 + '"'}
    redis_client.xadd(f"sse:stream:user:{{{USER}}}", fields, id=foreign)
    redis_client.set("sse:position", foreign)
    after = source.publish(USER)
    read = await pages(history)
    assert [event.event_id for page in read for event in page.events] == [*before, *after]
    assert sum(page.malformed for page in read) == 1
    assert read[-1].horizon > Position(foreign)
    source.close()
