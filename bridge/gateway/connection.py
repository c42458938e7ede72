"""The connection beneath a request, where the server shows more of it than ASGI does: its end, its bytes, its server's.

ASGI says of a client only that it left, and uvicorn says that to the newest request of a connection. What is read here
beside it are attributes of uvicorn's own objects, each asserted by ``tests/unit/test_gateway_connection.py``; of
another server nothing is seen, and ASGI's word is all there is.
"""

import select
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope, Send

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
