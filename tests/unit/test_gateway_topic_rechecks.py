"""Topics of open streams are asked again: a stream ends when one is withdrawn, or when there was no answer for long."""

import asyncio
from collections.abc import Sequence

import pytest

from bridge.gateway import Principal, topics
from bridge.gateway.connection import Ending
from bridge.gateway.topics import Rechecks, Verdict
from bridge.model.counting import Counters
from bridge.model.registry import TopicAddress
from tests.support.waiting import WAIT_S

INTERVAL_S = 60


class Stream:
    """A listener that remembers its ending."""

    def __init__(self, user: int, *keys: int) -> None:
        self.principal = Principal(user=user)
        self.topics = tuple(TopicAddress("order", key) for key in keys)
        self.ending: Ending | None = None

    def end(self, ending: Ending) -> None:
        self.ending = self.ending or ending


class Application:
    """Answers for all rules: what is withdrawn, whether it can be asked, and whether it answers."""

    def __init__(self) -> None:
        self.withdrawn: set[tuple[object, TopicAddress]] = set()
        self.fails = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked: list[object] = []
        self.at_once = self.most_at_once = 0

    async def judge(self, principal: Principal, asked: Sequence[TopicAddress]) -> Verdict:
        self.asked.append(principal.user)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await self.answers.wait()
        finally:
            self.at_once -= 1
        forbidden = [topic for topic in asked if (principal.user, topic) in self.withdrawn]
        return Verdict(forbidden, asked if self.fails else ())


class World:
    """Rechecks every minute, beside an application, on a clock that stands until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(topics.time, "monotonic", lambda: self.now)
        self.counters, self.application = Counters(), Application()
        self.rechecks = Rechecks(self.application, INTERVAL_S, self.counters)  # type: ignore[arg-type]

    def watch(self, *streams: Stream) -> None:
        for stream in streams:
            self.rechecks.watch(stream, stream.principal, stream.topics)

    async def goes_on(self, intervals: float) -> None:
        for _ in range(round(intervals * INTERVAL_S)):
            self.now += 1
            self.rechecks.look()
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_a_stream_ends_when_one_of_its_topics_is_withdrawn_and_the_others_go_on(world: World) -> None:
    hit, other = Stream(1, 41, 42), Stream(2, 42)
    world.watch(hit, other)
    await world.goes_on(3)
    assert (hit.ending, other.ending) == (None, None)
    assert 3 <= world.application.asked.count(1) <= 5
    world.application.withdrawn.add((1, TopicAddress("order", 42)))
    await world.goes_on(1)
    assert (hit.ending, other.ending) == (Ending.TOPICS_WITHDRAWN, None)
    assert world.counters.topics_rechecked == len(world.application.asked)


async def test_a_stream_that_has_ended_is_not_asked_about(world: World) -> None:
    gone, stays = Stream(1, 42), Stream(2, 42)
    world.watch(gone, stays)
    world.rechecks.forget(gone)
    world.rechecks.forget(gone)
    await world.goes_on(2)
    assert set(world.application.asked) == {2}
    assert world.rechecks.streams_by_topic() == {"order": 1}


async def test_an_application_that_cannot_say_keeps_the_stream_for_some_intervals_and_ends_it_then(
    world: World,
) -> None:
    stream = Stream(1, 42)
    world.watch(stream)
    world.application.fails = True
    await world.goes_on(topics.GRACE - 0.5)
    assert (stream.ending, world.counters.topics_rechecked >= topics.GRACE - 1) == (None, True)
    await world.goes_on(1)
    assert stream.ending is Ending.TOPICS_UNCONFIRMED


async def test_one_answer_in_between_begins_the_wait_anew(world: World) -> None:
    stream = Stream(1, 42)
    world.watch(stream)
    for _ in range(3):
        world.application.fails = True
        await world.goes_on(topics.GRACE - 2)
        world.application.fails = False
        await world.goes_on(1.1)
    assert stream.ending is None


async def test_what_is_withdrawn_for_sure_ends_the_stream_though_the_rest_cannot_be_asked(world: World) -> None:
    stream = Stream(1, 41, 42)
    world.watch(stream)
    world.application.fails = True
    world.application.withdrawn.add((1, TopicAddress("order", 42)))
    await world.goes_on(1)
    assert stream.ending is Ending.TOPICS_WITHDRAWN


async def test_an_application_that_never_answers_is_asked_about_few_streams_and_all_end_in_time(world: World) -> None:
    streams = [Stream(n, 42) for n in range(3 * topics.ASKED_AT_ONCE)]
    world.watch(*streams)
    world.application.answers.clear()
    await world.goes_on(topics.GRACE + 0.1)
    assert {stream.ending for stream in streams} == {Ending.TOPICS_UNCONFIRMED}
    assert world.application.most_at_once == topics.ASKED_AT_ONCE
    world.application.answers.set()
    await world.goes_on(0.1)


async def test_many_streams_are_not_asked_about_at_one_moment(world: World) -> None:
    world.watch(*(Stream(n, 42) for n in range(1000)))
    await world.goes_on(topics.EARLY - 0.1)
    assert not world.application.asked
    in_a_second = []
    for _ in range(24):
        before = len(world.application.asked)
        await world.goes_on(1 / INTERVAL_S)
        in_a_second.append(len(world.application.asked) - before)
    assert sum(in_a_second) == 1000
    assert max(in_a_second) < 150


async def test_it_looks_by_itself_and_leaves_nothing_behind() -> None:
    application, stream = Application(), Stream(1, 42)
    application.answers.clear()
    rechecks = Rechecks(application, 0.01, Counters())  # type: ignore[arg-type]
    rechecks.watch(stream, stream.principal, stream.topics)
    task = asyncio.create_task(rechecks.run())
    async with asyncio.timeout(WAIT_S):
        while not application.asked:  # noqa: ASYNC110  (polls what has no event)
            await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}
