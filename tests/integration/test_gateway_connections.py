"""The end of a connection ends its streams, whatever the server beneath notices of it; on each server that is named."""

import logging
import socket
import struct
from collections.abc import Iterator
from uuid import UUID

import pytest

from bridge.gateway import gateway as gateway_module
from bridge.gateway.protocol import BoundedH11Protocol, BoundedProtocol
from bridge.settings import Settings
from tests.support.slow import ask, read_all, read_until, request
from tests.support.streams import SECRET, Served, Source, until

SERVERS = {"httptools": "httptools", "h11": "h11", "ours": BoundedProtocol, "ours on h11": BoundedH11Protocol}
CONNECTIONS = 20
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
WHOLE = b": live\n"


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


@pytest.fixture(params=SERVERS)
def served(
    settings: Settings,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Served]:
    monkeypatch.setattr(gateway_module, "SWEEP_EVERY_S", 0.2)
    with Served(settings, http=SERVERS[request.param]) as served:
        yield served
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def _reset(asking: socket.socket) -> None:
    """Close as a process does that is killed: with a reset."""
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    asking.close()


@pytest.mark.parametrize("behind", [HEALTH, b"stream", HEALTH * 3, HEALTH[:20]], ids=["one", "stream", "three", "part"])
@pytest.mark.parametrize("apart", [False, True], ids=["together", "later"])
@pytest.mark.parametrize("close", [socket.socket.close, _reset], ids=["close", "reset"])
async def test_what_is_sent_behind_a_stream_keeps_none_open(
    served: Served, user: UUID, behind: bytes, apart: bool, close: object
) -> None:
    stream = request(user)
    behind = stream if behind == b"stream" else behind
    asking = [ask(served.port, stream if apart else stream + behind) for _ in range(CONNECTIONS)]
    for one in asking:
        # Who has sent more already may be hung up on as soon as the answer has begun.
        read_until(one, WHOLE if apart else b"HTTP/1.1 200 OK")
        if apart:
            one.sendall(behind)
    for one in asking:
        close(one)  # type: ignore[operator]
    await until(lambda: not served.state.sessions)
    assert not served.state.subscriptions.broadcast.members
    assert served.state.counters.streams_opened <= 2 * CONNECTIONS


async def test_a_stream_behind_another_request_ends_with_its_connection(served: Served, user: UUID) -> None:
    asking = ask(served.port, HEALTH + request(user) + HEALTH)
    read_until(asking, WHOLE)
    asking.close()
    await until(lambda: not served.state.sessions)


async def test_who_sends_more_behind_a_stream_is_hung_up_on(served: Served, user: UUID) -> None:
    asking = ask(served.port, request(user))
    read_until(asking, WHOLE)
    asking.sendall(HEALTH)
    await until(lambda: not served.state.sessions)
    read_all(asking)
    asking.close()


async def test_a_stream_that_nobody_disturbs_stays(served: Served, user: UUID, settings: Settings) -> None:
    source = Source(settings)
    asking = ask(served.port, request(user))
    read_until(asking, WHOLE)
    await until(lambda: served.state.counters.heartbeats_sent or served.state.sessions)
    for _ in range(3):
        source.publish(user)
        assert b"import.progress" in read_until(asking, b"\n\n")
    assert served.state.counters.connections_lost == 0
    asking.close()
    await until(lambda: not served.state.sessions)
    source.close()
