"""uvicorn's HTTP/1 protocols with bounds on unfinished requests, and an end that each request hears of.

``sse-bridge gateway`` serves with it; so do ``uvicorn bridge.gateway:app`` with the option
``--http bridge.gateway.protocol:BoundedProtocol``, and a gunicorn worker whose ``CONFIG_KWARGS`` say the same.
"""

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from bridge.model.bounds import REQUEST_BYTES_MAX, REQUEST_S, REQUESTS_UNFINISHED_MAX
from bridge.model.counting import COUNTERS_STATE

LINGER_S = 1.0
"""What a refused client still sends is read and dropped for so long: a reset would take the answer from it."""
PHRASES = {408: "Request Timeout", 431: "Request Header Fields Too Large"}
SENTENCES = {
    408: f"The request was not whole within {REQUEST_S:g} s.",
    431: f"A request may have {REQUEST_BYTES_MAX} bytes at most, headers included.",
}
_UNFINISHED: WeakKeyDictionary[ServerState, "dict[_Bounded, None]"] = WeakKeyDictionary()
"""The connections of each server that have sent no whole request, or are refused, from the oldest to the newest."""


class _Bounded:
    """Stands before one of uvicorn's protocols, which does the rest."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    server_state: ServerState
    app_state: dict[str, Any]
    cycle: Any

    _received_bytes = 0
    _late: asyncio.TimerHandle | None = None
    _answering: Any = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to count the time and the bytes of the first request."""
        super().connection_made(transport)  # type: ignore[misc]
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell each request of the connection that its client has left."""
        self._stop_waiting()
        # uvicorn tells the newest request alone.
        for cycle in {self._answering, self.cycle} - {None}:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        """Pass on what is within the bounds; abort a connection that is beyond them, or that sends behind a stream."""
        if self._refused or self.transport.is_closing():
            return
        if self._is_streaming():
            # Nothing behind a stream is ever answered, and reading would stop there, the end unseen.
            self.transport.abort()
            return
        if self.cycle is None or self.cycle.response_complete:
            data = self._receive_head(data)
        elif not self.cycle.more_body and self._is_too_much(data):
            self.transport.abort()
            return
        if data:
            super().data_received(data)  # type: ignore[misc]

    def _receive_head(self, data: bytes) -> bytes:
        """Have no more parsed than a request may have; returns what follows on one that is whole."""
        if self._late is None:
            self._await_request()
        before, room = self.cycle, REQUEST_BYTES_MAX - self._received_bytes
        super().data_received(data[:room])  # type: ignore[misc]
        if self.cycle is not before:
            self._stop_waiting()
            return data[room:]
        if self._is_too_much(data) and not self.transport.is_closing():
            self._refuse(431)
        return b""

    def _is_too_much(self, data: bytes) -> bool:
        """Whether a request that is not whole has more bytes than one may have."""
        self._received_bytes += len(data)
        return self._received_bytes > REQUEST_BYTES_MAX

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # httptools: ``cycle`` is the newest request, this one the request that is answered.
        self._answering = cycle
        super()._start_asgi_task(cycle, app)  # type: ignore[misc]

    def _is_streaming(self) -> bool:
        cycle = self._answering or self.cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete and not cycle.more_body

    def _await_request(self) -> None:
        self._received_bytes = 0
        self._late = self.loop.call_later(REQUEST_S, self._refuse_late)
        unfinished = _UNFINISHED.setdefault(self.server_state, {})
        unfinished[self] = None
        if len(unfinished) > REQUESTS_UNFINISHED_MAX:
            # Whoever means it has sent all long before so many others came; a flood pushes out itself.
            next(iter(unfinished))._crowd_out()

    def _stop_waiting(self) -> None:
        self._received_bytes = 0
        _UNFINISHED.get(self.server_state, {}).pop(self, None)
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _crowd_out(self) -> None:
        """Close without an answer, at which browsers come again by themselves."""
        self._stop_waiting()
        self._count("requests_crowded_out")
        self.transport.abort()

    def _count(self, name: str) -> None:
        # An application that mounts the gateway may keep its lifespan's state to itself.
        if counters := self.app_state.get(COUNTERS_STATE):
            setattr(counters, name, getattr(counters, name) + 1)

    def _refuse_late(self) -> None:
        if self._received_bytes:
            self._refuse(408)
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        """Answer, read and drop what still comes for a moment, and close."""
        self._refused = True
        if self._late is not None:
            self._late.cancel()  # among the unfinished it stays until it is gone
        self._count("requests_refused")
        sentence = SENTENCES[status].encode()
        head = (
            f"HTTP/1.1 {status} {PHRASES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(sentence)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + sentence)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.abort)


class BoundedH11Protocol(_Bounded, H11Protocol):  # type: ignore[misc]
    """h11, whose own bound is half of ours."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = h11.Connection(h11.SERVER, REQUEST_BYTES_MAX)


if TYPE_CHECKING or not find_spec("httptools"):
    BoundedProtocol = BoundedH11Protocol
else:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class BoundedProtocol(_Bounded, HttpToolsProtocol):
        """httptools where it is installed, as in the extra ``gateway``, or else h11."""
