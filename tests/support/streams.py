"""A gateway in a thread of this process, a source of published events, and clients that keep every frame."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import httpx
import jwt
import redis
import uvicorn
from starlette.applications import Starlette

from bridge.catalogs.finance import REGISTRY
from bridge.gateway import Authenticator, create_app
from bridge.local.redis_server import free_port
from bridge.model.events import SSEEvent, SSEEventType, encode_payload
from bridge.model.publishing import AddressedEvent
from bridge.model.registry import Address, Registry
from bridge.settings import Settings
from tests.support.addressed_events import direct
from tests.support.settling import Settler
from tests.support.waiting import PATIENCE, WAIT_S, wait_until

SECRET = "a secret of at least thirty-two bytes"
EVENTS_PATH = "/api/v1/events"


def token(user_id: object, *, ttl_s: float = 86_400, secret: str = SECRET, **claims: Any) -> str:
    """A bearer token, good for longer than a run may take; a claim of None is left out."""
    found = {"sub": str(user_id), "exp": int(time.time() + ttl_s), **claims}
    return jwt.encode({name: value for name, value in found.items() if value is not None}, secret, "HS256")


class Served:
    """A gateway that serves; ``state`` shows what it holds."""

    def __init__(
        self,
        settings: Settings,
        *,
        registry: Registry = REGISTRY,
        authenticator: Authenticator | None = None,
        loop: str = "auto",
        http: str | type[asyncio.Protocol] = "auto",
        within: Callable[[Starlette], Starlette] = lambda app: app,
        **options: Any,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        app = create_app(settings, registry, authenticator=authenticator)
        self.state = app.state.gateway
        served = within(app)
        config = uvicorn.Config(
            served, host="127.0.0.1", port=self.port, log_config=None, lifespan="on", loop=loop, http=http, **options
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started and self.state.subscribed, what="the gateway listens")
        return self

    def recycle(self) -> None:
        """End as a server does that recycles its process: without a signal."""
        self._server.should_exit = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Outside the main thread nobody hears signals; this is what they would do.
        self.state.drain()
        self._server.should_exit = True
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "the gateway does not end"


class Source:
    """Publishes as the worker does."""

    def __init__(self, settings: Settings) -> None:
        self._client = redis.Redis.from_url(settings.store_url)
        self._settler = Settler(self._client, settings)

    def publish(
        self,
        user_id: UUID | None,
        number: int = 1,
        *,
        event_type: SSEEventType = SSEEventType.IMPORT_PROGRESS,
        told: tuple[Address, ...] = (),
        **payload: Any,
    ) -> list[str]:
        """Publish to a user, or to everybody, or to the addresses that are told; the new ids in order."""
        events = [
            SSEEvent(event_type=event_type, user_id=user_id or uuid4(), data={"n": n, **payload}) for n in range(number)
        ]
        addressed_events = [
            AddressedEvent(event=event, payload=encode_payload(event.data), user_id=user_id, addresses=told)
            for event in events
        ]
        assert all(receipt.ok for receipt in self._settler.settle(direct(addressed_events)))
        return [str(event.event_id) for event in events]

    def close(self) -> None:
        self._client.close()


@dataclass(frozen=True)
class Frame:
    """One frame as the wire had it: the lines up to an empty one, or one comment."""

    text: str

    def field(self, name: str) -> str | None:
        return next(
            (line.removeprefix(f"{name}: ") for line in self.text.split("\n") if line.startswith(f"{name}: ")), None
        )

    @property
    def id(self) -> str | None:
        return self.field("id")

    @property
    def event(self) -> str | None:
        return self.field("event")

    @property
    def comment(self) -> str | None:
        return self.text.removeprefix(": ") if self.text.startswith(":") else None


class Stream:
    """One client: reads until it is closed or cut, keeps every frame."""

    def __init__(self, url: str, user_id: UUID, *, last_event_id: str | None = None, path: str = "", **headers: str):
        self.frames: list[Frame] = []
        self.arrived_at: list[float] = []
        self.ended = False
        self.response: httpx.Response | None = None
        self._url = url + EVENTS_PATH + path
        self._headers = {"Authorization": f"Bearer {token(user_id)}", **headers}
        if last_event_id is not None:
            self._headers["Last-Event-ID"] = last_event_id
        self._task: asyncio.Task[None] | None = None

    async def open(self, client: httpx.AsyncClient, *, live: bool = True) -> Self:
        """Connect; with ``live`` wait until the replay is over."""
        self._task = asyncio.create_task(self._read(client))
        await self.until(lambda: self.is_live if live else self.response is not None)
        return self

    async def _read(self, client: httpx.AsyncClient) -> None:
        pending, block = "", list[str]()
        try:
            async with client.stream("GET", self._url, headers=self._headers) as response:
                self.response = response
                if response.status_code != 200:
                    await response.aread()
                    return
                async for text in response.aiter_text():
                    *lines, pending = (pending + text).split("\n")
                    for line in lines:
                        self._take(line, block)
        except httpx.HTTPError:
            pass
        finally:
            # A delay counts without an empty line.
            self._take("", block)
            self.ended = True

    def _take(self, line: str, block: list[str]) -> None:
        if line and not line.startswith(":"):
            block.append(line)
            return
        if line or block:
            self.frames.append(Frame(line or "\n".join(block)))
            self.arrived_at.append(time.monotonic())
        if not line:
            block.clear()

    @property
    def is_live(self) -> bool:
        return any(frame.comment == "live" for frame in self.frames)

    @property
    def ids(self) -> list[str]:
        return [frame.id for frame in self.frames if frame.id and frame.event]

    @property
    def resets(self) -> list[str | None]:
        return [frame.field("data") for frame in self.frames if frame.event == "stream.reset"]

    async def until(self, condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        await until(condition, timeout_s, lambda: f"frames: {self.frames[-5:]}, ended: {self.ended}")

    async def receives(self, ids: Iterable[str], timeout_s: float = 30.0) -> None:
        """Wait until exactly these events arrived, in order."""
        expected = list(ids)
        await until(lambda: len(self.ids) >= len(expected), timeout_s, lambda: f"{len(self.ids)} of {len(expected)}")
        assert self.ids == expected

    async def close(self) -> None:
        """Hang up without warning, as a browser does."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def until(condition: Callable[[], object], timeout_s: float = 30.0, seen: Callable[[], str] = lambda: "") -> None:
    """Poll until ``condition`` is truthy."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"Not within {timeout_s:g} s; {seen()}"
        await asyncio.sleep(0.005)


async def closing(*streams: Stream) -> None:
    """Hang up all."""
    waiting: list[Awaitable[None]] = [stream.close() for stream in streams]
    await asyncio.gather(*waiting)
