"""A session of the gateway with both its ends held by the test, against a scripted history."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from bridge.gateway.authenticator import Principal
from bridge.gateway.connection import Ending, ResponseWriter
from bridge.gateway.hub import Subscriptions
from bridge.gateway.replay_reader import Addresses, ReplayPage
from bridge.gateway.request import EncodedEvent, StreamRequest
from bridge.gateway.session import Session
from bridge.model.counting import Counters
from bridge.model.errors import StoreUnavailableError
from bridge.model.position import Position
from bridge.settings import Settings
from tests.support.keys import BROADCAST_CHANNEL, UNPREFIXED
from tests.support.waiting import WAIT_S

USER = UUID(int=1)
SETTINGS = Settings(gateway_dev=True, gateway_heartbeat_s=0.1, gateway_queue_max=4)


def event(position: str, category: str | None = "import") -> EncodedEvent:
    return EncodedEvent(Position(position), [category], f"id: {position}\n\n".encode())


def page(*positions: str, horizon: str, complete: bool = True) -> ReplayPage:
    events = tuple(map(event, positions))
    return ReplayPage(events=events, horizon=Position(horizon), complete=complete, last=True, read_at_ms=1)


class FakeArchive:
    def __init__(self) -> None:
        self.newest = Position("10-0")
        self.pages: list[ReplayPage] = []
        self.reads: list[Position] = []
        self.asked: list[Addresses] = []
        self.away = False
        self.reads_are_away = False
        self.hangs = False
        self.released = asyncio.Event()
        self.when_cancelled: Callable[[], Coroutine[Any, Any, Any]] | None = None

    async def now(self) -> ReplayPage:
        return await self._answer(page(horizon=str(self.newest)))

    async def locate(self, addresses: Addresses, event_id: UUID) -> Position | None:
        self.asked.append(addresses)
        return await self._answer(None)

    async def read(self, addresses: Addresses, after: Position, read_at_ms: int) -> ReplayPage:
        self.asked.append(addresses)
        self.reads.append(after)
        if self.reads_are_away:
            raise StoreUnavailableError
        if self.pages:
            return await self._answer(self.pages.pop(0))
        return await self._answer(page(horizon=str(max(after, self.newest))))

    async def _answer(self, answer: Any) -> Any:
        await asyncio.sleep(0)
        if self.hangs:
            await self._hang()
        if self.away:
            raise StoreUnavailableError
        return answer

    async def _hang(self) -> None:
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            if self.when_cancelled is None:
                raise
            await self.when_cancelled()


class Line:
    """A session with both its ends held by the test."""

    def __init__(self, request: StreamRequest | None = None, settings: Settings = SETTINGS) -> None:
        self.sent = b""
        self.resumes = bool(request and request.resumes)
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.left = asyncio.Event()
        self.subscriptions, self.replay_reader, self.counters = Subscriptions(UNPREFIXED), FakeArchive(), Counters()
        wire = ResponseWriter({}, self._send, self.counters, send_timeout_s=5, heartbeat_s=settings.gateway_heartbeat_s)
        self.session = Session(
            principal=Principal(user=USER),
            request=request or StreamRequest(),
            wire=wire,
            subscriptions=self.subscriptions,
            replay_reader=self.replay_reader,  # type: ignore[arg-type]
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
        self.subscriptions.link()
        for channel in self.subscriptions.channels:
            self.subscriptions.confirm(channel)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110  (polls what has no event)
                await asyncio.sleep(0.005)

    @property
    def ids(self) -> list[str]:
        ids = [line[4:].decode() for line in self.sent.split(b"\n") if line.startswith(b"id: ")]
        # Who does not resume gets a position with the delay, which is no event's.
        return ids if self.resumes else ids[1:]


@asynccontextmanager
async def running(line: Line) -> AsyncIterator["asyncio.Task[Ending]"]:
    task = asyncio.create_task(line.session.run(line.receive))
    try:
        yield task
    finally:
        line.left.set()
        line.open.set()
        await asyncio.wait({task}, timeout=WAIT_S)
        assert task.done()
        assert line.subscriptions.channels == (BROADCAST_CHANNEL,)
        assert not line.subscriptions.broadcast.members
        assert asyncio.all_tasks() == {asyncio.current_task()}
