"""``GatewayThread``: a real gateway in an event loop of its own, whose clients are in this process, without sockets.

A loop that has nothing left to do but to wait says so, so that a test knows when all that can come has come.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bridge.gateway.asgi import EVENTS_PATH
from bridge.testing.stream import WAIT_S, Stream

if TYPE_CHECKING:
    from starlette.applications import Starlette


class _Selector(selectors.DefaultSelector):
    """Tells of the first moment at which its loop has nothing to run, once it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.on_idle: list[Callable[[], object]] = []

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout > 0:
            waiting, self.on_idle = self.on_idle, []
            for tell in waiting:
                tell()
        return super().select(timeout)


class GatewayThread:
    """Runs an application of the gateway's until it is closed.

    Args:
        make: makes it, on the thread of its loop.
    """

    def __init__(self, make: "Callable[[], Starlette]") -> None:
        self._make = make
        self._calls: set[_Call] = set()
        self._ending = asyncio.Event()
        self._begun = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="bridge-testing-gateway", daemon=True)

    def start(self) -> None:
        """Return when it serves.

        Raises:
            SettingsError: a setting is wrong.
        """
        self._selector = _Selector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._thread.start()
        self._begun.wait(WAIT_S)
        if self._error is not None:
            self._thread.join()
            raise self._error

    def close(self) -> None:
        """End it, and whatever hangs on it."""
        for call in tuple(self._calls):
            call.close()
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(WAIT_S)

    def settle(self) -> None:
        """Return when everything has happened that can happen without time passing."""
        idle = threading.Event()
        self._loop.call_soon_threadsafe(self._selector.on_idle.append, idle.set)
        idle.wait(WAIT_S)

    @property
    def is_subscribed(self) -> bool:
        """Whether it hears what is published."""
        return bool(self._app.state.gateway.subscribed)

    def dial(self, stream: Stream, last_event_id: str) -> "_Call":
        """Open a stream; it is fed from the loop's thread."""
        call = _Call(self._app, self._loop, stream, last_event_id)
        self._calls.add(call)
        return call

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            self._app = self._make()
            async with self._app.router.lifespan_context(self._app):
                while not self.is_subscribed:  # noqa: ASYNC110  (milliseconds, and once)
                    await asyncio.sleep(0.001)
                self._begun.set()
                await self._ending.wait()
        except BaseException as error:
            self._error = error
        finally:
            self._begun.set()


class _Call:
    """One request, as a server would make it of a client's; satisfies ``Connection``."""

    def __init__(self, app: "Starlette", loop: asyncio.AbstractEventLoop, stream: Stream, last_event_id: str) -> None:
        self._app, self._loop, self._stream = app, loop, stream
        self._status, self._refusal = 0, b""
        self._left, self._asked = asyncio.Event(), False
        headers = [*stream.asked.headers, *([("Last-Event-ID", last_event_id)] if last_event_id else [])]
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": EVENTS_PATH,
            "raw_path": EVENTS_PATH.encode(),
            "root_path": "",
            "query_string": urlencode(stream.asked.query).encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
        }
        self._ran = asyncio.run_coroutine_threadsafe(self._run(), loop)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._left.set)
        with suppress(Exception):
            self._ran.result(WAIT_S)

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        finally:
            if self._status != 200:
                self._stream.note_refusal(self._status, self._refusal)
            self._stream.note_end()

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif self._status == 200:
            self._stream.take(message.get("body", b""))
        else:
            self._refusal += message.get("body", b"")
