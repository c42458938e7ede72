"""The connection to one client: what the server shows of it beyond ASGI, and the response, written with patience.

ASGI says of a client only that it left, and uvicorn says that to the newest request of a connection. What is read here
beside it are attributes of uvicorn's own objects, each asserted by ``tests/unit/test_gateway_connection.py``; of
another server nothing is seen, and ASGI's word is all there is.
"""

import asyncio
import select
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any, TypeVar

from starlette.datastructures import MutableHeaders
from starlette.types import Receive, Scope, Send

from bridge.model.bounds import UNTAKEN_BYTES_MAX
from bridge.model.counting import Counters
from bridge.model.events import comment_frame
from bridge.runtime.supervision import end_tasks


class Ending(StrEnum):
    """Why a stream ended."""

    CLIENT_LEFT = "client_left"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  (a name)
    WITHDRAWN = "withdrawn"
    TOPICS_WITHDRAWN = "topics_withdrawn"
    TOPICS_UNCONFIRMED = "topics_unconfirmed"
    TOO_SLOW = "too_slow"
    STALLED = "stalled"
    SHUTDOWN = "shutdown"
    FAILED = "failed"


class ResetReason(StrEnum):
    """Why a client may have missed events."""

    UNKNOWN_ID = "unknown_id"
    TRIMMED = "trimmed"
    NOT_RETAINED = "not_retained"


CONNECTION = "bridge.connection"
"""In the scope: the connection beneath the request."""
TOLD = "bridge_told"
"""On uvicorn's protocol: it tells us already when its server shuts down."""


def note_connection(scope: Scope, receive: Receive, send: Send) -> None:
    """Remember the connection beneath a request, also where an application around this one has middleware."""
    # Middleware wraps ``send``; most of it hands ``receive`` on as the server gave it.
    owners = (getattr(given, "__self__", None) for given in (send, receive))
    cycle = next((owner for owner in owners if hasattr(owner, "transport")), None)
    scope[CONNECTION] = Connection(cycle, str(scope.get("http_version", "1.1")))


class Connection:
    """The connection of one request, which may share it with others (``is_multiplexed``).

    ``cycle`` is uvicorn's object for the request; None, or anything else, where there is none.
    """

    __slots__ = ("_cycle", "_stream", "_transport", "_version", "is_multiplexed")

    def __init__(self, cycle: Any = None, http_version: str = "1.1") -> None:
        self._cycle = cycle
        self._version = http_version
        self.is_multiplexed = not http_version.startswith("1")
        self._transport: Any = getattr(cycle, "transport", None)
        # HTTP/2: the transport carries the streams of a whole browser, and is not ours to close.
        self._stream = getattr(cycle, "stream", None)

    @property
    def is_lost(self) -> bool:
        """Whether the client has gone, or sends requests behind a stream that never ends.

        Behind such a request the server stops reading, and then learns of no end.
        """
        transport = self._transport
        if transport is None:
            return False
        try:
            if transport.is_closing():
                return True
            return not (self.is_multiplexed or transport.is_reading())
        except AttributeError:
            return False

    @property
    def has_left(self) -> bool:
        """Whether the client has closed the connection, as the kernel knows before the server reads it (HTTP/1)."""
        sock = self._transport.get_extra_info("socket") if hasattr(self._transport, "get_extra_info") else None
        if sock is None or self.is_multiplexed or not hasattr(select, "POLLRDHUP"):
            return False
        poll = select.poll()
        poll.register(sock, select.POLLRDHUP)
        return bool(poll.poll(0))

    @property
    def untaken_bytes(self) -> int:
        """Bytes that the server took from us and the client's flow control has not let it send (HTTP/2)."""
        return (getattr(self._stream, "pending_bytes", 0) or 0) if self._stream is not None else 0

    @property
    def can_end(self) -> bool:
        """Whether ``end`` can end this connection."""
        return self._aborter() is not None

    def end(self) -> None:
        """End it at once, unread bytes included; of HTTP/2 this request alone. Idempotent."""
        abort = self._aborter()
        if abort is not None and not (self.is_multiplexed and self._is_taken):
            abort()
        # Its protocol may know only of a newer request.
        if hasattr(self._cycle, "disconnected"):
            self._cycle.disconnected = True
            with suppress(AttributeError):
                self._cycle.message_event.set()

    def end_by_closing(self) -> None:
        """Before the head, for HTTP/1.0: the answer ends with the connection, as chunks are unknown there."""
        if self._version == "1.0" and hasattr(self._cycle, "chunked_encoding"):
            self._cycle.chunked_encoding = False
            self._cycle.expected_content_length = sys.maxsize

    def note_last(self, body: bytes) -> None:
        """Before the last part of an answer that ``end_by_closing`` began."""
        if self._version == "1.0" and hasattr(self._cycle, "expected_content_length"):
            self._cycle.expected_content_length = len(body)

    def bound_silence(self, limit_s: float) -> None:
        """Have the kernel give up a peer that confirms nothing of what was sent for so long: a laptop that was shut."""
        sock = self._transport.get_extra_info("socket") if hasattr(self._transport, "get_extra_info") else None
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if sock is None or option is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, round(limit_s * 1000))

    def on_shutdown(self, act: Callable[[], None]) -> None:
        """Run ``act`` when the server begins to shut down: one that recycles its process hears no signal.

        The server waits for open answers before it tells the application, and tells each connection first.
        """
        protocol: Any = self._transport.get_protocol() if hasattr(self._transport, "get_protocol") else None
        stock = getattr(protocol, "shutdown", None)
        if stock is None or getattr(protocol, TOLD, False):
            return

        def shutdown() -> None:
            """Act, then do what the server's own does."""
            act()
            stock()

        with suppress(AttributeError):
            setattr(protocol, TOLD, True)
            protocol.shutdown = shutdown

    @property
    def _is_taken(self) -> bool:
        """Whether the answer is complete and the client has all of it."""
        return bool(getattr(self._cycle, "response_complete", False)) and not self.untaken_bytes

    def _aborter(self) -> Callable[[], None] | None:
        found = getattr(self._cycle, "abort_stream", None) if self.is_multiplexed else None
        if found is None and not self.is_multiplexed:
            found = getattr(self._transport, "abort", None)
        return found


def connection_of(scope: Scope) -> Connection:
    """The connection beneath a request; one of which nothing is seen, if the server shows nothing."""
    found = scope.get(CONNECTION)
    return found if isinstance(found, Connection) else Connection(None, str(scope.get("http_version", "1.1")))


FINISH_S = 1.0
"""Patience with the last bytes of a stream."""
LINGER_S = 1.0
"""What a client has not read this long after the end is thrown away, so that it cannot hold up a shutdown."""
TAKEN_EVERY_S = 0.05
"""How often it is looked whether a client has taken enough, where the server does not wait for it."""
HEARTBEAT, LIVE = (comment_frame(words).encode() for words in ("heartbeat", "live"))
"""Nothing for so long; and: whatever the client had missed was sent."""
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
            await self.send(HEARTBEAT)
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
