"""What is read of uvicorn's own objects is there, by these names; where nothing is, nothing is seen."""

import asyncio
import inspect
import select
import socket
from typing import Any

import pytest
from starlette.types import Message
from uvicorn import Config
from uvicorn.protocols.http import h11_impl, httptools_impl
from uvicorn.server import ServerState

from bridge.gateway.connection import Connection, connection_of, note_connection
from bridge.gateway.protocol import BoundedH11Protocol, BoundedProtocol

PROTOCOLS = (httptools_impl.HttpToolsProtocol, h11_impl.H11Protocol, BoundedProtocol, BoundedH11Protocol)


@pytest.mark.parametrize("module", [httptools_impl, h11_impl])
def test_a_request_of_uvicorn_has_what_is_read_of_it(module: Any) -> None:
    source = inspect.getsource(module.RequestResponseCycle)
    for name in ("transport", "disconnected", "message_event", "response_started", "response_complete", "more_body"):
        assert f"self.{name} = " in source or f"self.{name}: " in source, name
    if module is httptools_impl:
        assert "self.chunked_encoding: bool | None = None" in source and "self.expected_content_length = " in source


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_protocol_of_uvicorn_is_told_of_the_shutdown(protocol: type[Any]) -> None:
    made = protocol(Config(app=lambda: None, log_config=None), ServerState(), {})
    assert callable(made.shutdown) and made.cycle is None and hasattr(made, "transport")
    assert hasattr(protocol, "_start_asgi_task") or issubclass(protocol, h11_impl.H11Protocol)


def test_of_another_server_nothing_is_seen() -> None:
    scope: dict[str, Any] = {"type": "http"}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: object) -> None:
        return

    for connection in (connection_of(scope), Connection()):
        assert not (connection.is_lost or connection.has_left or connection.can_end or connection.untaken_bytes)
        connection.end()
        connection.end_by_closing()
        connection.note_last(b"x")
        connection.bound_silence(1)
        connection.on_shutdown(lambda: None)
    note_connection(scope, receive, send)
    assert not connection_of(scope).is_lost


class Transport(asyncio.Transport):
    """As far as the gateway looks at one."""

    def __init__(self) -> None:
        super().__init__()
        self.closing, self.reading, self.aborted = False, True, 0

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return self.reading

    def abort(self) -> None:
        self.aborted += 1


class Cycle:
    """A request of uvicorn's HTTP/2."""

    def __init__(self) -> None:
        self.transport, self.stream = Transport(), self
        self.pending_bytes, self.resets, self.disconnected, self.response_complete = 5, 0, False, False
        self.message_event = asyncio.Event()

    def abort_stream(self) -> None:
        self.resets += 1


async def test_a_connection_that_closes_or_is_read_no_more_is_lost() -> None:
    cycle = Cycle()
    connection = Connection(cycle, "1.1")
    assert not connection.is_lost
    cycle.transport.reading = False
    assert connection.is_lost
    cycle.transport.reading, cycle.transport.closing = True, True
    assert connection.is_lost
    connection.end()
    assert cycle.transport.aborted == 1 and cycle.disconnected and cycle.message_event.is_set()


async def test_of_a_connection_with_many_streams_one_alone_is_ended() -> None:
    cycle = Cycle()
    connection = Connection(cycle, "2")
    cycle.transport.reading = False  # another stream's body fills its buffer
    assert not connection.is_lost and connection.untaken_bytes == 5
    connection.end()
    assert (cycle.resets, cycle.transport.aborted) == (1, 0)
    cycle.response_complete, cycle.pending_bytes = True, 0
    connection.end()
    assert cycle.resets == 1, "what is complete and taken is not reset"


@pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="the kernel does not tell")
def test_a_client_that_has_closed_is_known_before_anything_of_it_is_read() -> None:
    ours, theirs = socket.socketpair()

    class Cycle:
        transport = Transport()

    Cycle.transport._extra["socket"] = ours  # type: ignore[attr-defined]
    connection = Connection(Cycle())
    with ours:
        theirs.sendall(b"GET /")
        assert not connection.has_left
        theirs.close()
        assert connection.has_left
        assert not Connection(Cycle(), "2").has_left
