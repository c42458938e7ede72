"""The line to one client: sends bytes with a bound on patience, breaks a long silence, hangs up."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from starlette.datastructures import MutableHeaders
from starlette.types import Scope, Send

from bridge.gateway.connection import connection_of
from bridge.model.bounds import UNTAKEN_BYTES_MAX
from bridge.model.events import comment_frame
from bridge.model.gateway_counters import Counters
from bridge.runtime.supervision import end_tasks

FINISH_S = 1.0
"""Patience with the last bytes of a stream."""
LINGER_S = 1.0
"""What a client has not read this long after the end is thrown away, so that it cannot hold up a shutdown."""
TAKEN_EVERY_S = 0.05
"""How often it is looked whether a client has taken enough, where the server does not wait for it."""
SILENCE_FACTOR = 2
"""The kernel gives up a peer after so many times the patience that we have: we say why."""

T = TypeVar("T")

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    # no-transform: a proxy that compresses holds events back.
    "Cache-Control": "no-cache, no-store, no-transform",
    "X-Accel-Buffering": "no",
}


class StalledError(Exception):
    """The client took nothing for too long."""


def stream_headers(scope: Scope) -> Mapping[str, str]:
    """The headers of a stream."""
    # One connection, one stream: its end must free the connection. HTTP/2 knows no such header.
    closes = str(scope.get("http_version", "1.1")).startswith("1")
    return {**HEADERS, "Connection": "close"} if closes else HEADERS


class ResponseWriter:
    """The line to one client.

    Args:
        send_timeout_s: a client that takes nothing for this long has stalled.
        heartbeat_s: silence after which a comment is due.
    """

    def __init__(
        self, scope: Scope, send: Send, counters: Counters, *, send_timeout_s: float, heartbeat_s: float
    ) -> None:
        self._headers = stream_headers(scope)
        self._connection = connection_of(scope)
        self._send = send
        self._counters = counters
        self._send_timeout_s = send_timeout_s
        self._heartbeat_s = heartbeat_s
        self._sent_at = time.monotonic()
        self._watched = False

    @property
    def silence_left_s(self) -> float:
        """Seconds until a heartbeat is due; 0 or less when it is."""
        return self._sent_at + self._heartbeat_s - time.monotonic()

    def look(self) -> bool:
        """Whether the connection has ended, or never will in order, without a word of the server.

        At the first look the kernel is asked to watch as well; not at the opening, which many do not outlast.
        """
        if not self._watched:
            self._watched = True
            self._connection.bound_silence(SILENCE_FACTOR * self._send_timeout_s)
        return self._connection.is_lost

    async def beat(self) -> None:
        """Send a heartbeat if one is due."""
        if self.silence_left_s <= 0:
            await self.send(comment_frame("heartbeat").encode())
            self._counters.heartbeats_sent += 1

    async def beating(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Wait for something that may take long, sending heartbeats meanwhile. It has ended when this returns."""
        task = asyncio.create_task(waiting)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=max(0.0, self.silence_left_s))
                await self.beat()
            return task.result()
        finally:
            if not task.done():
                await end_tasks(task)

    async def open(self) -> None:
        """Send the head of the response."""
        self._connection.end_by_closing()
        headers = MutableHeaders(headers=self._headers)
        await self._send({"type": "http.response.start", "status": 200, "headers": headers.raw})

    async def send(self, body: bytes) -> None:
        """Send a part of the stream.

        Raises:
            StalledError: the client took nothing for too long.
            OSError: the client is gone.
        """
        if self._connection.is_lost:
            raise ConnectionResetError("The connection has ended.")
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
                while self._connection.untaken_bytes > UNTAKEN_BYTES_MAX:  # noqa: ASYNC110  (there is no event to wait for)
                    await asyncio.sleep(TAKEN_EVERY_S)
        except TimeoutError:
            raise StalledError from None
        self._sent_at = time.monotonic()

    async def finish(self, farewell: bytes, gone: asyncio.Future[None]) -> None:
        """End the stream in order; a client that does not read gets no more time than ``LINGER_S``.

        ``gone`` is done when the server has noticed that the client is gone.
        """
        self._connection.note_last(farewell)
        try:
            async with asyncio.timeout(FINISH_S):
                await self._send({"type": "http.response.body", "body": farewell, "more_body": False})
        except TimeoutError:
            await self.hang_up(gone)
        except OSError:
            return
        if self._connection.can_end:
            asyncio.get_running_loop().call_later(LINGER_S, self._connection.end)

    async def hang_up(self, gone: asyncio.Future[None]) -> None:
        """End the connection at once, unread bytes included; where the server does not let us, it must see to it."""
        if self._connection.can_end:
            self._connection.end()
            # The server must have noticed, or it takes the unfinished response for a fault of ours.
            await asyncio.wait({gone}, timeout=FINISH_S)
