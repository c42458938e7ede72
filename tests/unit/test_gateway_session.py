"""One client's life, against a scripted history: the orders of events that a real Redis shows too seldom."""

import asyncio
import dataclasses
import gc
from uuid import uuid4

import pytest

from bridge.gateway.connection import Ending
from bridge.gateway.request import StreamRequest
from bridge.gateway.session import CHECK_EVERY_S, RETRY_SPREAD
from bridge.model.errors import StoreUnavailableError
from bridge.model.position import START, Position
from bridge.model.registry import TopicAddress, User
from bridge.model.registry.metadata import LIFE_MIN_S
from tests.support.line import SETTINGS, USER, Line, event, page, running
from tests.support.waiting import WAIT_S


async def test_no_frame_but_heartbeats_before_the_subscription_stands() -> None:
    line = Line()
    async with running(line):
        await line.until(lambda: line.counters.heartbeats_sent >= 2)
        assert b"retry" not in line.sent and b"live" not in line.sent
        line.link()
        await line.until(lambda: b"live" in line.sent)
        line.session.offer(event("11-0"))
        await line.until(lambda: line.ids == ["11-0"])


async def test_heartbeats_go_on_while_redis_hangs_or_is_away() -> None:
    line = Line()
    line.link()
    line.replay_reader.hangs = True
    async with running(line):
        await line.until(lambda: line.counters.heartbeats_sent >= 3)
    line = Line()
    line.link()
    line.replay_reader.away = True
    async with running(line):
        await line.until(lambda: line.counters.backfill_retries >= 2 and line.counters.heartbeats_sent >= 2)
        line.replay_reader.away = False
        await line.until(lambda: b"live" in line.sent)


async def test_what_is_offered_while_the_history_is_read_comes_after_it_and_once() -> None:
    line = Line(StreamRequest(resumes=True, last_event_id=None))
    line.replay_reader.pages = [page("5-0", "11-0", "12-0", horizon="12-0")]
    line.link()
    for position in ("11-0", "12-0", "13-0"):
        line.session.offer(event(position))
    async with running(line):
        await line.until(lambda: b"live" in line.sent and len(line.ids) == 4)
        assert line.ids == ["5-0", "11-0", "12-0", "13-0"]
        assert line.replay_reader.reads == [START]


async def test_an_event_that_is_offered_under_two_addresses_is_sent_once_whatever_comes_in_between() -> None:
    line = Line(StreamRequest(topics=(TopicAddress("order", 42),), resumes=True, last_event_id=uuid4()))
    line.replay_reader.pages = [page("5-0", horizon="10-0")]
    line.link()
    held, live = event("11-0"), event("12-0")
    line.session.offer(held)
    async with running(line):
        await line.until(lambda: b"unknown_id" in line.sent)
        line.session.offer(held)
        await line.until(lambda: line.ids == ["5-0", "11-0"])
        line.session.offer(live)
        await line.until(lambda: line.ids == ["5-0", "11-0", "12-0"])
        line.session.offer(live)
        line.session.offer(event("13-0"))
        await line.until(lambda: len(line.ids) >= 4)
        assert line.ids == ["5-0", "11-0", "12-0", "13-0"]
        assert set(line.replay_reader.asked) == {(User(USER), TopicAddress("order", 42))}


async def test_touch_lost_while_reading_means_reading_again_from_the_cursor() -> None:
    line = Line()
    line.link()
    async with running(line):
        await line.until(lambda: b"live" in line.sent)
        line.session.offer(event("11-0"))
        await line.until(lambda: line.ids == ["11-0"])
        line.subscriptions.unlink()
        line.session.offer(event("14-0"))
        line.replay_reader.pages = [page("12-0", "13-0", "14-0", horizon="14-0")]
        await asyncio.sleep(0.02)
        assert line.ids == ["11-0"], "held until the subscription stands again"
        line.link()
        await line.until(lambda: line.ids == ["11-0", "12-0", "13-0", "14-0"])
        assert line.replay_reader.reads == [Position("11-0")]


async def test_after_a_loss_of_memory_the_order_may_begin_anew() -> None:
    line = Line()
    line.link()
    async with running(line):
        await line.until(lambda: b"live" in line.sent)
        line.session.offer(event("50-0"))
        await line.until(lambda: line.ids == ["50-0"])
        line.subscriptions.unlink()
        line.replay_reader.pages = [page(horizon="3-0", complete=False)]
        line.link()
        await line.until(lambda: b"trimmed" in line.sent)
        line.session.offer(event("4-0"))
        await line.until(lambda: line.ids == ["50-0", "4-0"])


async def test_touch_lost_while_the_start_is_found_means_reading_from_there() -> None:
    line = Line()
    line.link()
    line.replay_reader.hangs = True
    async with running(line):
        await line.until(lambda: line.counters.heartbeats_sent)
        line.subscriptions.unlink()
        line.link()
        line.replay_reader.pages = [page("11-0", horizon="11-0")]
        line.replay_reader.released.set()
        await line.until(lambda: b"live" in line.sent)
        assert line.ids == ["11-0"]


async def test_a_client_is_told_to_load_anew_only_once_its_history_is_read() -> None:
    """What it loads on a reset told before would lack what is published, and trimmed, until the history is read."""
    line = Line(StreamRequest(resumes=True, last_event_id=uuid4()))
    line.replay_reader.reads_are_away = True
    line.link()
    async with running(line):
        await line.until(lambda: len(line.replay_reader.reads) > 1)
        assert b"unknown_id" not in line.sent
        line.replay_reader.pages = [page("8-0", "9-0", horizon="9-0")]
        line.replay_reader.reads_are_away = False
        await line.until(lambda: b"live" in line.sent)
        assert line.sent.index(b"unknown_id") < line.sent.index(b"8-0")
        assert line.sent.count(b"stream.reset") == 1


async def test_events_for_others_move_the_cursor_without_waking_the_client() -> None:
    line = Line(StreamRequest(wanted=[(0, frozenset({"import"}))]))
    line.link()
    async with running(line):
        await line.until(lambda: b"live" in line.sent)
        for n in range(100):
            line.session.offer(event(f"{20 + n}-0", "ai"))
        line.session.offer(event("200-0"))
        await line.until(lambda: line.ids == ["200-0"])
        line.session.offer(event("300-0", "ai"))
        await asyncio.sleep(0.15)
        line.session.lose_touch()
        await line.until(lambda: line.replay_reader.reads == [Position("300-0")])


async def test_a_full_queue_ends_a_live_stream_even_while_a_send_hangs() -> None:
    line = Line()
    line.link()
    async with running(line) as task:
        await line.until(lambda: b"live" in line.sent)
        line.open.clear()
        for n in range(10):
            line.session.offer(event(f"{20 + n}-0"))
            await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.shield(task), WAIT_S) is Ending.TOO_SLOW


@pytest.mark.parametrize(
    ("error", "ending"), [(OSError("gone"), Ending.CLIENT_LEFT), (RuntimeError("a fault of ours"), Ending.FAILED)]
)
async def test_a_send_that_raises_ends_the_stream(error: Exception, ending: Ending) -> None:
    line = Line()
    line.link()
    async with running(line) as task:
        await line.until(lambda: b"live" in line.sent)
        line.error = error
        line.session.offer(event("11-0"))
        assert await asyncio.wait_for(asyncio.shield(task), WAIT_S) is ending


@pytest.mark.parametrize("linked", [True, False])
async def test_a_cancellation_passes_through_and_frees_everything(linked: bool) -> None:
    line = Line(StreamRequest(resumes=True, last_event_id=uuid4()))
    if linked:
        line.link()
    async with running(line) as task:
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_reading_that_forgets_its_cancellation_ends_before_the_session_does() -> None:
    line = Line()
    line.link()
    line.replay_reader.hangs = True
    line.replay_reader.when_cancelled = asyncio.Event().wait
    # ``running`` asserts that no task is left.
    async with running(line):
        await line.until(lambda: line.counters.heartbeats_sent)


async def test_a_reading_that_fails_when_its_client_leaves_is_no_unheard_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise StoreUnavailableError

    line = Line()
    line.link()
    line.replay_reader.hangs = True
    line.replay_reader.when_cancelled = fail
    async with running(line):
        await line.until(lambda: line.counters.heartbeats_sent)
    gc.collect()
    assert not caplog.records


async def test_the_first_cause_of_an_ending_counts() -> None:
    line = Line()
    line.link()
    async with running(line) as task:
        await line.until(lambda: b"live" in line.sent)
        line.session.end(Ending.SHUTDOWN)
        line.session.end(Ending.TOKEN_EXPIRED)
        assert await task is Ending.SHUTDOWN
        assert line.sent.splitlines()[-1].startswith(b"retry: ")


async def test_a_short_history_is_looked_at_before_half_its_life_is_over() -> None:
    line = Line(settings=dataclasses.replace(SETTINGS, stream_ttl_s=1))
    line.link()
    async with running(line):
        await line.until(lambda: len(line.replay_reader.reads) >= 3)
    assert line.counters.resets == 0


def test_the_shortest_class_lives_for_twice_as_long_as_a_client_goes_unchecked() -> None:
    assert 2 * CHECK_EVERY_S * max(RETRY_SPREAD) <= LIFE_MIN_S
