"""One client's life, against a scripted archive: the orders of events that a real Redis shows too seldom."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from bridge.errors import StoreUnavailableError
from bridge.gateway.archive import Chapter
from bridge.gateway.auth import Principal
from bridge.gateway.counters import Counters
from bridge.gateway.delivery import Delivery
from bridge.gateway.ending import Ending
from bridge.gateway.request import StreamRequest
from bridge.gateway.rooms import Rooms
from bridge.gateway.session import Session
from bridge.gateway.wire import Wire
from bridge.settings import Settings
from bridge.store import START, Position
from bridge.store.keys import BROADCAST_CHANNEL, UNPREFIXED, user_channel

USER = UUID(int=1)
SETTINGS = Settings(gateway_dev=True, gateway_heartbeat_s=0.1, gateway_queue_max=4)


def delivery(position: str, category: str | None = "import") -> Delivery:
    return Delivery(Position(position), category, f"id: {position}\n\n".encode())


def chapter(*positions: str, horizon: str, complete: bool = True) -> Chapter:
    deliveries = tuple(map(delivery, positions))
    return Chapter(deliveries=deliveries, horizon=Position(horizon), complete=complete, last=True, read_at_ms=1)


class FakeArchive:
    def __init__(self) -> None:
        self.newest = Position("10-0")
        self.chapters: list[Chapter] = []
        self.reads: list[Position] = []
        self.away = False
        self.hangs = False
        self.when_cancelled: Callable[[], Coroutine[Any, Any, Any]] | None = None

    async def now(self) -> Chapter:
        return await self._answer(chapter(horizon=str(self.newest)))

    async def locate(self, user_id: UUID, event_id: UUID) -> Position | None:
        return await self._answer(None)

    async def read(self, user_id: UUID, after: Position, read_at_ms: int) -> Chapter:
        self.reads.append(after)
        if self.chapters:
            return await self._answer(self.chapters.pop(0))
        return await self._answer(chapter(horizon=str(max(after, self.newest))))

    async def _answer(self, answer: Any) -> Any:
        await asyncio.sleep(0)
        if self.hangs:
            await self._hang()
        if self.away:
            raise StoreUnavailableError
        return answer

    async def _hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.when_cancelled is None:
                raise
            await self.when_cancelled()


class Line:
    """A session with both its ends in the test's hands."""

    def __init__(self, request: StreamRequest | None = None, settings: Settings = SETTINGS) -> None:
        self.sent = b""
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.left = asyncio.Event()
        self.rooms, self.archive, self.counters = Rooms(UNPREFIXED), FakeArchive(), Counters()
        wire = Wire({}, self._send, send_timeout_s=5, heartbeat_s=settings.gateway_heartbeat_s)
        self.session = Session(
            principal=Principal(user_id=USER),
            request=request or StreamRequest(),
            wire=wire,
            rooms=self.rooms,
            archive=self.archive,  # type: ignore[arg-type]
            settings=settings,
            counters=self.counters,
        )

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self.open.wait()
        error, self.error = self.error, None
        if error:
            raise error
        self.sent += message.get("body", b"")

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    def link(self) -> None:
        self.rooms.link()
        self.rooms.confirm(user_channel(USER))
        self.rooms.confirm(BROADCAST_CHANNEL)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(3):
            while not condition():  # noqa: ASYNC110  (polls what has no event)
                await asyncio.sleep(0.005)

    @property
    def ids(self) -> list[str]:
        return [frame[4:].decode() for frame in self.sent.split(b"\n\n") if frame.startswith(b"id: ")]


@asynccontextmanager
async def running(line: Line) -> AsyncIterator["asyncio.Task[Ending]"]:
    task = asyncio.create_task(line.session.run(line.receive))
    try:
        yield task
    finally:
        line.left.set()
        line.open.set()
        await asyncio.wait({task}, timeout=3)
        assert task.done()
        assert line.rooms.channels == (BROADCAST_CHANNEL,)
        assert not line.rooms.broadcast.members
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_no_frame_but_heartbeats_before_the_subscription_stands() -> None:
    line = Line()
    async with running(line):
        await line.until(lambda: line.counters.heartbeats_sent >= 2)
        assert b"retry" not in line.sent and b"live" not in line.sent
        line.link()
        await line.until(lambda: b"live" in line.sent)
        line.session.offer(delivery("11-0"))
        await line.until(lambda: line.ids == ["11-0"])


async def test_heartbeats_go_on_while_redis_hangs_or_is_away() -> None:
    line = Line()
    line.link()
    line.archive.hangs = True
    async with running(line):
        await line.until(lambda: line.counters.heartbeats_sent >= 3)
    line = Line()
    line.link()
    line.archive.away = True
    async with running(line):
        await line.until(lambda: line.counters.backfill_retries >= 2 and line.counters.heartbeats_sent >= 2)
        line.archive.away = False
        await line.until(lambda: b"live" in line.sent)


async def test_what_is_offered_while_the_history_is_read_comes_after_it_and_once() -> None:
    line = Line(StreamRequest(resumes=True, last_event_id=None))
    line.archive.chapters = [chapter("5-0", "11-0", "12-0", horizon="12-0")]
    line.link()
    for position in ("11-0", "12-0", "13-0"):
        line.session.offer(delivery(position))
    async with running(line):
        await line.until(lambda: b"live" in line.sent and len(line.ids) == 4)
        assert line.ids == ["5-0", "11-0", "12-0", "13-0"]
        assert line.archive.reads == [START]


async def test_touch_lost_while_reading_means_reading_again_from_the_cursor() -> None:
    line = Line()
    line.link()
    async with running(line):
        await line.until(lambda: b"live" in line.sent)
        line.session.offer(delivery("11-0"))
        await line.until(lambda: line.ids == ["11-0"])
        line.rooms.unlink()
        line.session.offer(delivery("14-0"))
        line.archive.chapters = [chapter("12-0", "13-0", "14-0", horizon="14-0")]
        await asyncio.sleep(0.02)
        assert line.ids == ["11-0"], "held until the subscription stands again"
        line.link()
        await line.until(lambda: line.ids == ["11-0", "12-0", "13-0", "14-0"])
        assert line.archive.reads == [Position("11-0")]


async def test_after_a_loss_of_memory_the_order_may_begin_anew() -> None:
    line = Line()
    line.link()
    async with running(line):
        await line.until(lambda: b"live" in line.sent)
        line.session.offer(delivery("50-0"))
        await line.until(lambda: line.ids == ["50-0"])
        line.rooms.unlink()
        line.archive.chapters = [chapter(horizon="3-0", complete=False)]
        line.link()
        await line.until(lambda: b"trimmed" in line.sent)
        line.session.offer(delivery("4-0"))
        await line.until(lambda: line.ids == ["50-0", "4-0"])


async def test_events_for_others_move_the_cursor_without_waking_the_client() -> None:
    line = Line(StreamRequest(categories=frozenset({"import"})))
    line.link()
    async with running(line):
        await line.until(lambda: b"live" in line.sent)
        for n in range(100):
            line.session.offer(delivery(f"{20 + n}-0", "ai"))
        line.session.offer(delivery("200-0"))
        await line.until(lambda: line.ids == ["200-0"])
        line.session.offer(delivery("300-0", "ai"))
        await asyncio.sleep(0.15)
        line.session.lose_touch()
        await line.until(lambda: line.archive.reads == [Position("300-0")])


async def test_a_full_queue_ends_a_live_stream_even_while_a_send_hangs() -> None:
    line = Line()
    line.link()
    async with running(line) as task:
        await line.until(lambda: b"live" in line.sent)
        line.open.clear()
        for n in range(10):
            line.session.offer(delivery(f"{20 + n}-0"))
            await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.shield(task), 2) is Ending.TOO_SLOW


@pytest.mark.parametrize(
    ("error", "ending"), [(OSError("gone"), Ending.CLIENT_LEFT), (RuntimeError("a fault of ours"), Ending.FAILED)]
)
async def test_a_send_that_raises_ends_the_stream(error: Exception, ending: Ending) -> None:
    line = Line()
    line.link()
    async with running(line) as task:
        await line.until(lambda: b"live" in line.sent)
        line.error = error
        line.session.offer(delivery("11-0"))
        assert await asyncio.wait_for(asyncio.shield(task), 2) is ending


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
    line.archive.hangs = True
    line.archive.when_cancelled = asyncio.Event().wait
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
    line.archive.hangs = True
    line.archive.when_cancelled = fail
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
        assert line.sent.rsplit(b"\n\n", 2)[-2].startswith(b"retry: ")
