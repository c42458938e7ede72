"""What a client may send before it gets a stream is bounded in bytes and time, and the answer says by which bound."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest

from bridge.gateway import protocol as protocol_module
from bridge.gateway.protocol import BoundedH11Protocol, BoundedProtocol
from bridge.model.bounds import REQUEST_BYTES_MAX
from bridge.settings import Settings
from tests.support.gateway import COMMAND, gateway_process
from tests.support.slow import ask, read_all, read_until, request
from tests.support.streams import SECRET, Served, until
from tests.support.waiting import wait_until

WITHIN_S = 0.5
PART = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Part: "


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


@pytest.fixture(params=[BoundedProtocol, BoundedH11Protocol])
def served(settings: Settings, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(protocol_module, "REQUEST_S", WITHIN_S)
    with Served(settings, http=request.param) as served:
        yield served


def _send_all(asking: socket.socket, chunk: bytes, number: int) -> None:
    try:
        for _ in range(number):
            asking.sendall(chunk)
    except (ConnectionResetError, BrokenPipeError):
        return


@pytest.mark.parametrize(
    ("begun", "chunk"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", b"y" * 1000),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", (b"X-A: " + b"y" * 100 + b"\r\n") * 10),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a:\r\n" * 1000),
        (b"GET /", b"y" * 1000),
        (b"", b"y" * 1000),
        (b"", b"\r\n" * 1000),
    ],
)
def test_more_bytes_than_a_request_may_have_are_refused(served: Served, begun: bytes, chunk: bytes) -> None:
    asking = ask(served.port, begun, receive_bytes=65_536)
    _send_all(asking, chunk, 25_000_000 // len(chunk))
    got = read_all(asking)
    # What is no request at all is refused by the parser, sooner.
    assert got.startswith(
        (b"HTTP/1.1 431 ",) if begun.endswith((b" ", b"\n")) else (b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")
    )
    asking.close()


def test_a_request_as_large_as_one_may_be_is_answered(served: Served, user: UUID) -> None:
    empty = len(request(user, X_Pad="", Accept="text/event-stream"))
    asking = ask(served.port, request(user, X_Pad="x" * (REQUEST_BYTES_MAX - empty), Accept="text/event-stream"))
    assert read_until(asking, b": live\n").startswith(b"HTTP/1.1 200 ")
    asking.close()


def test_one_byte_more_is_refused(served: Served, user: UUID) -> None:
    empty = len(request(user, X_Pad=""))
    asking = ask(served.port, request(user, X_Pad="x" * (REQUEST_BYTES_MAX - empty + 1)))
    assert read_all(asking).startswith(b"HTTP/1.1 431 ")
    asking.close()


@pytest.mark.parametrize("sent", [PART, b"", b"G", PART + b"x\r\n"])
def test_a_request_that_never_becomes_whole_is_ended(served: Served, sent: bytes) -> None:
    asking = ask(served.port, sent)
    got = read_all(asking)
    assert got.startswith(b"HTTP/1.1 408 ") if sent else got == b""
    asking.close()


async def test_bytes_one_by_one_do_not_buy_time(served: Served) -> None:
    asking = ask(served.port, PART)
    asking.setblocking(False)
    got = b""
    for _ in range(200):
        try:
            asking.send(b"x")
            got += asking.recv(1000)
        except BlockingIOError:
            await asyncio.sleep(0.02)
        except (ConnectionResetError, BrokenPipeError):
            break
        if got:
            break
    assert got.startswith(b"HTTP/1.1 408 ")
    asking.close()


async def test_a_second_request_of_a_connection_has_the_same_bounds(served: Served) -> None:
    whole = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for rest, status in ((b"X-Pad: " + b"x" * 2 * REQUEST_BYTES_MAX, b"431"), (b"", b"408")):
        asking = ask(served.port, whole)
        read_until(asking, b'{"status":"live"}')
        asking.sendall(whole[:20] if not rest else whole[:-2] + rest)
        assert read_all(asking).startswith(b"HTTP/1.1 " + status)
        asking.close()


async def test_a_stream_outlives_the_time_for_its_request(served: Served, user: UUID) -> None:
    asking = ask(served.port, request(user))
    read_until(asking, b": live\n")
    await asyncio.sleep(2 * WITHIN_S)
    assert len(served.state.sessions) == 1
    asking.close()
    await until(lambda: not served.state.sessions)


def test_too_many_unfinished_requests_make_room_from_the_oldest_on(
    served: Served, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol_module, "REQUEST_S", 600.0)
    monkeypatch.setattr(protocol_module, "REQUESTS_UNFINISHED_MAX", 20)
    crowd = [ask(served.port, PART if number % 2 else b"") for number in range(30)]
    assert all(read_all(one) == b"" for one in crowd[:10])
    assert served.state.counters.requests_crowded_out == 10
    # Whoever comes now takes the place of the oldest, and whoever has sent a whole request takes none.
    stream = ask(served.port, request(user))
    read_until(stream, b": live\n")
    crowd[-1].sendall(b"x\r\n\r\n")
    assert read_until(crowd[-1], b'{"status":"live"}').startswith(b"HTTP/1.1 200 ")
    assert served.state.counters.requests_crowded_out == 11
    assert len(served.state.sessions) == 1
    for one in (*crowd, stream):
        one.close()


def test_refused_requests_are_counted_and_take_no_more_room(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_module, "LINGER_S", 600.0)
    monkeypatch.setattr(protocol_module, "REQUESTS_UNFINISHED_MAX", 5)
    refused = [ask(served.port, PART, receive_bytes=65_536) for _ in range(5)]
    for one in refused:
        read_until(one, b"HTTP/1.1 408 ")
    later = ask(served.port, b"")
    wait_until(lambda: served.state.counters.requests_crowded_out == 1, what="one has made room")
    assert served.state.counters.requests_refused == 5
    for one in (*refused, later):
        one.close()


def test_the_command_serves_with_these_bounds_and_stays_small(settings: Settings, tmp_path: Path) -> None:
    with gateway_process(tmp_path, {"BRIDGE_BROKER_URL": settings.broker_url}, COMMAND) as (process, url):
        port = httpx.URL(url).port or 0
        before = psutil.Process(process.pid).memory_info().rss
        asking = [ask(port, PART) for _ in range(20)]
        for one in asking:
            _send_all(one, b"x" * 100_000, 250)
            assert read_all(one).startswith(b"HTTP/1.1 431 ")
            one.close()
        assert psutil.Process(process.pid).memory_info().rss - before < 20 * 2**20
        wait_until(lambda: httpx.get(url + "/health/ready").json()["clients"] == 0)
