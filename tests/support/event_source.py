"""A browser's EventSource: comes back by itself with the last id, keeps what it was shown, forgives nothing."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import httpx
import msgspec
from starlette.types import ASGIApp

from bridge.model.event_log import RESET_EVENT
from bridge.model.registry import EVERYONE, Address, TopicAddress, User
from tests.support.streams import EVENTS_PATH, token
from tests.support.waiting import WAIT_S

TICKET_PATH = EVENTS_PATH + "/ticket"
COMES_BACK_AFTER_S = 0.003
"""Before it connects again; the gateway's own hint would take seconds."""
ENDS_WITHIN_S = WAIT_S
"""How long the gateway may serve a client that has left."""
PIPE_MAX = 3
"""Bodies between the gateway and a client that does not read; then ``send`` waits, as with a full socket."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One thing that the page was shown.

    Attributes:
        event_id: of an event; None when it is a ``stream.reset``.
        published: how many events had been handed to the publisher by then.
    """

    event_id: str | None
    published: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The first moment from which a client is promised everything.

    Attributes:
        earliest: how many events had been published for sure before it asked.
        latest: how many had been handed to the publisher when the stream's first frame arrived.
    """

    earliest: int
    latest: int


class Watch(Protocol):
    """Sees what the gateway does, before any of it is on its way to the client."""

    def asks(self, source: "EventSource") -> object:
        """A request is made; what is returned is handed over with its answer."""
        ...

    def answered(self, source: "EventSource", asked: object, status: int) -> None:
        """A request is answered."""
        ...

    def sends(self, source: "EventSource", text: str) -> None:
        """A part of the stream is sent."""
        ...


class Dial(Protocol):
    """Makes one connection and reads it; returns when the gateway ends it, is cancelled to hang up."""

    async def __call__(self, source: "EventSource") -> None:
        """Raises OSError or httpx.HTTPError when nobody answers."""
        ...


@dataclass(eq=False)
class EventSource:
    """One tab of one user.

    Args:
        user_id: who it is.
        categories: its filter; empty for everything.
        topics: what it hears beside its user's events and everyone's.
        by_ticket: whether it opens each stream by a one-use ticket that it asks for with its token.
        session: what its tokens call the session.
        dial: how it connects.
        begun: how many events have been handed to the publisher so far.
        certain: how many of the first of these are published for sure.
        watch: is told what the gateway lets it have.
    """

    user_id: UUID
    categories: frozenset[str]
    topics: tuple[TopicAddress, ...]
    by_ticket: bool
    session: str
    dial: Dial
    begun: Callable[[], int]
    certain: Callable[[], int]
    watch: "Watch"
    shown: list[Shown] = field(default_factory=list)
    entry: Entry | None = None
    last_event_id: str = ""
    connections: int = 0
    signed_in_s: float = 0
    ticket: str = ""
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    _asked_at: int = 0
    _bearer: tuple[float, str] = (-1, "")
    _pending: str = ""
    _task: "asyncio.Task[None] | None" = None

    @property
    def listens(self) -> bool:
        """Whether it has, or wants, a connection and reads it."""
        return self._task is not None and self.reading.is_set()

    @property
    def query(self) -> str:
        """Filter and topics, in the address."""
        parts = [f"categories={','.join(sorted(self.categories))}"] if self.categories else []
        parts += [f"topics={topic}" for topic in self.topics]
        return "&".join([*parts, f"ticket={self.ticket}"] if self.ticket else parts)

    @property
    def hears(self) -> frozenset[Address]:
        """Every address that it hears."""
        return frozenset({User(self.user_id), EVERYONE, *self.topics})

    @property
    def headers(self) -> dict[str, str]:
        """What it says of itself; by a ticket, nothing of who it is."""
        said = {} if self.ticket else {"Authorization": f"Bearer {self._token()}"}
        return said | ({"Last-Event-ID": self.last_event_id} if self.last_event_id else {})

    def _token(self) -> str:
        if self._bearer[0] != self.signed_in_s:
            self._bearer = (self.signed_in_s, token(self.user_id, iat=self.signed_in_s, sid=self.session))
        return self._bearer[1]

    def connect(self) -> None:
        """Have a connection from now on."""
        self.reading.set()
        if self._task is None:
            self._task = asyncio.create_task(self._stay())

    async def disconnect(self) -> None:
        """Hang up; what was not read yet is lost on the way."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _stay(self) -> None:
        while True:
            self._pending = self.ticket = ""
            self._asked_at = self.certain()
            self.connections += 1
            with suppress(OSError, httpx.HTTPError):
                await self.dial(self)
            await asyncio.sleep(COMES_BACK_AFTER_S)

    def take(self, text: str) -> None:
        """Read a part of the stream."""
        *frames, self._pending = (self._pending + text).split("\n\n")
        for frame in frames:
            self._dispatch(frame)

    def _dispatch(self, frame: str) -> None:
        """As the HTML standard says: the id counts even without data, and without data nothing is shown."""
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith(":"))
        self.last_event_id = fields.get("id", self.last_event_id)
        # A farewell has a delay alone: it may come before the stream began.
        if "retry" in fields and "id" in fields and self.entry is None:
            self.entry = Entry(earliest=self._asked_at, latest=self.begun())
        if "data" in fields:
            event_id = None if fields.get("event") == RESET_EVENT else fields["id"]
            self.shown.append(Shown(event_id=event_id, published=self.begun()))


class AsgiCall:
    """One request to an ASGI application, without a socket: the pipe is short, and its end is noticed at once."""

    def __init__(self, app: ASGIApp, source: EventSource) -> None:
        # Where the gateway looks for the server's ``transport.abort``.
        self.transport = self
        self.gone = asyncio.Event()
        self._app = app
        self._source = source
        self._asks: object = None
        self._asked = False
        self._pipe: deque[str] = deque()
        self._whole = False
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Until the gateway ends the stream; cancelled to hang up."""
        # Only here: what is cancelled before it begins asks for nothing, and would never be answered.
        self._asks = self._source.watch.asks(self._source)
        try:
            if not self._source.by_ticket or await self._get_ticket():
                await self._stream()
        finally:
            self._source.watch.answered(self._source, self._asks, 0)

    async def _get_ticket(self) -> bool:
        """Ask for a ticket; returns whether there is one."""
        sent: list[Mapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        # A task of its own, as a server's: redis-py may swallow what cancels it (``wait_for`` of Python 3.11 does).
        serving = asyncio.create_task(self._app(self._scope("POST", TICKET_PATH), receive, send))  # type: ignore[arg-type]
        try:
            await asyncio.wait({serving})
        finally:
            await self._end(serving)
        if sent[0]["status"] == 201:
            self._source.ticket = msgspec.json.decode(sent[1]["body"])["ticket"]
        return bool(self._source.ticket)

    async def _stream(self) -> None:
        scope = self._scope("GET", EVENTS_PATH)
        serving = asyncio.create_task(self._app(scope, self._receive, self._send))  # type: ignore[arg-type]
        try:
            await self._read()
        finally:
            self._source.watch.answered(self._source, self._asks, 0)
            self.abort()
            await self._end(serving)

    @staticmethod
    async def _end(serving: "asyncio.Task[None]") -> None:
        done, _ = await asyncio.wait({serving}, timeout=ENDS_WITHIN_S)
        assert done, "the gateway goes on serving a client that has left"
        serving.result()

    def abort(self) -> None:
        """Close the connection at once, unread bytes included."""
        self.gone.set()
        self._moved.set()

    async def _read(self) -> None:
        while not (self.gone.is_set() or (self._whole and not self._pipe)):
            await self._source.reading.wait()
            while self._pipe and self._source.reading.is_set():
                self._source.take(self._pipe.popleft())
            self._signal()
            if not self._pipe and not self._whole and not self.gone.is_set():
                await self._moved.wait()

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._source.watch.answered(self._source, self._asks, message["status"])
            if message["status"] != 200:
                self.abort()
            return
        self._source.watch.sends(self._source, message.get("body", b"").decode())
        while len(self._pipe) >= PIPE_MAX and not self.gone.is_set():
            await self._moved.wait()
        if not self.gone.is_set():
            self._pipe.append(message.get("body", b"").decode())
            self._whole = not message.get("more_body", False)
            self._signal()

    def _signal(self) -> None:
        """Wake the other side, whichever waits."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _scope(self, method: str, path: str) -> dict[str, Any]:
        headers = {"host": "127.0.0.1", **self._source.headers}
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": self._source.query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }


async def read_over_http(client: httpx.AsyncClient, url: str, source: EventSource) -> None:
    """One connection over a real socket."""
    if source.by_ticket:
        answer = await client.post(f"{url}{TICKET_PATH}?{source.query}", headers=source.headers)
        if answer.status_code != 201:
            return
        source.ticket = answer.json()["ticket"]
    address = f"{url}{EVENTS_PATH}?{source.query}"
    async with client.stream("GET", address, headers=source.headers) as response:
        if response.status_code != 200:
            return
        async for text in response.aiter_text():
            await source.reading.wait()
            source.take(text)
