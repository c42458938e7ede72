"""Reading the history for many: shared where it is the same, fair between users, and never what came too early."""

import asyncio
import gc
from uuid import UUID, uuid4

import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.gateway import replay_reader as reader_module
from bridge.gateway.replay_reader import Addresses, ReplayPage, ReplayReader
from bridge.gateway.request import EventEncoder
from bridge.model.bounds import READERS_MAX, READERS_PER_USER_MAX, REPLAY_BYTES_MAX, REPLAY_BYTES_MIN
from bridge.model.counting import Counters
from bridge.model.event_log import Page
from bridge.model.position import START, Position
from bridge.model.registry import TopicAddress, User

USER, OTHER = (User(UUID(int=1)),), (User(UUID(int=2)),)


class ScriptedHistory:
    """Answers when it is let."""

    def __init__(self, *, last: bool = True) -> None:
        self.last = last
        self.let = asyncio.Event()
        self.now: list[Addresses] = []
        self.begun: list[tuple[Addresses, Position, int]] = []

    async def read(self, addresses: Addresses, after: Position, *, read_at_ms: int, limit_bytes: int) -> Page:
        self.begun.append((addresses, after, limit_bytes))
        self.now.append(addresses)
        try:
            await self.let.wait()
        finally:
            self.now.remove(addresses)
        horizon = Position(f"{len(self.begun)}-0")
        return Page(events=(), horizon=horizon, complete=True, last=self.last, read_at_ms=1)


def opened(history: ScriptedHistory) -> ReplayReader:
    counters = Counters()
    return ReplayReader(history, EventEncoder(REGISTRY, counters), counters)  # type: ignore[arg-type]


def asking(
    replay_reader: ReplayReader, number: int = 1, addresses: Addresses = USER
) -> "list[asyncio.Task[ReplayPage]]":
    return [asyncio.create_task(replay_reader.read(addresses, START, 0)) for _ in range(number)]


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_who_asks_for_the_same_at_once_shares_one_reading() -> None:
    history = ScriptedHistory()
    replay_reader = opened(history)
    readers = asking(replay_reader, 60)
    await turns()
    history.let.set()
    pages = await asyncio.gather(*readers)
    assert len(history.begun) == 1 and len(set(map(id, pages))) == 1


async def test_who_asks_after_a_reading_has_begun_is_not_given_its_end() -> None:
    history = ScriptedHistory()
    replay_reader = opened(history)
    early = asking(replay_reader)
    await turns()
    assert len(history.begun) == 1
    late = asking(replay_reader, 5)
    await turns()
    history.let.set()
    assert (await early[0]).horizon == Position("1-0")
    assert {page.horizon for page in await asyncio.gather(*late)} == {Position("2-0")}
    assert len(history.begun) == 2


async def test_a_part_that_is_not_the_last_is_shared_as_long_as_somebody_holds_it() -> None:
    history = ScriptedHistory(last=False)
    history.let.set()
    replay_reader = opened(history)
    held = await replay_reader.read(USER, START, 0)
    assert await replay_reader.read(USER, START, 0) is held
    del held
    await turns()  # the loop holds what it has just handed over
    gc.collect()
    await replay_reader.read(USER, START, 0)
    assert len(history.begun) == 2


async def test_one_users_many_places_leave_room_for_others() -> None:
    history = ScriptedHistory()
    replay_reader = opened(history)
    greedy = [asyncio.create_task(replay_reader.read(USER, Position(f"{n}-0"), 0)) for n in range(60)]
    await turns()
    assert history.now == [USER] * READERS_PER_USER_MAX
    others = [asyncio.create_task(replay_reader.read((User(uuid4()),), START, 0)) for _ in range(60)]
    await turns()
    assert len(history.now) == READERS_MAX
    history.let.set()
    await asyncio.gather(*greedy, *others)
    assert not replay_reader._by_user and not replay_reader._readings


async def test_who_hears_other_topics_reads_for_itself_on_its_users_places() -> None:
    history = ScriptedHistory()
    replay_reader = opened(history)
    audiences: list[Addresses] = [(*USER, TopicAddress("order", number)) for number in range(5)]
    readers = [task for addresses in [USER, *audiences, audiences[0]] for task in asking(replay_reader, 1, addresses)]
    await turns()
    assert len(history.now) == READERS_PER_USER_MAX
    history.let.set()
    pages = await asyncio.gather(*readers)
    assert [addresses for addresses, _, _ in history.begun] == [USER, *audiences]
    assert pages[-1] is pages[1] is not pages[0]


async def test_one_that_leaves_leaves_the_others_theirs_and_the_last_ends_the_reading() -> None:
    history = ScriptedHistory()
    replay_reader = opened(history)
    first, second, third = asking(replay_reader, 3)
    await turns()
    first.cancel()
    await turns()
    history.let.set()
    assert await second is await third
    history.let.clear()
    lone = asking(replay_reader)[0]
    await turns()
    lone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lone
    assert not history.now and not replay_reader._readings


async def test_the_more_is_held_the_smaller_are_the_next_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "REPLAYS_BYTES_MAX", 4 * REPLAY_BYTES_MAX)
    history = ScriptedHistory(last=False)
    history.let.set()
    replay_reader = opened(history)
    held = [await replay_reader.read((User(uuid4()),), START, 0) for _ in range(100)]
    sizes = [limit_bytes for _, _, limit_bytes in history.begun]
    assert sizes[0] == REPLAY_BYTES_MAX and sizes[-1] == REPLAY_BYTES_MIN
    assert sizes == sorted(sizes, reverse=True) and len(held) == 100
