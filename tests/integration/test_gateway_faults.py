"""What befalls a gateway: slow clients, silence, expiring tokens, Redis gone, signals. Nobody loses an event."""

import asyncio
import dataclasses
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import redis

from bridge.local.redis_server import free_port
from bridge.settings import Settings
from tests.support.gateway import gateway_process
from tests.support.processes import Process, clean_environment, run
from tests.support.streams import SECRET, Served, Source, Stream, closing, token, until
from tests.support.waiting import PATIENCE, WAIT_S


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


# Silence


async def test_heartbeats_come_after_silence_and_never_more_often(
    settings: Settings, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_heartbeat_s=0.2)) as served:
        stream = await Stream(served.url, user).open(browser)
        await stream.until(lambda: sum(frame.comment == "heartbeat" for frame in stream.frames) >= 5)
        source.publish(user)
        await stream.until(lambda: stream.frames[-1].comment == "heartbeat" and stream.ids)
        heard = sum(frame.comment == "heartbeat" for frame in stream.frames)
        assert (heard - 1) * 0.2 <= stream.arrived_at[-1] - stream.arrived_at[0] + 0.2
        await stream.close()


# Slow clients


def _stalling_client(port: int, user: UUID) -> socket.socket:
    """Asks for a stream and reads no more than its head."""
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect(("127.0.0.1", port))
    stalled.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user)}\r\n\r\n".encode())
    got = b""
    while b": live" not in got:
        got += stalled.recv(4096)
    return stalled


async def test_a_full_queue_cuts_that_client_while_others_flow_and_it_resumes_exactly(
    settings: Settings, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_queue_max=20)) as served:
        stalled = await asyncio.to_thread(_stalling_client, served.port, user)
        healthy = await Stream(served.url, user).open(browser)
        ids: list[str] = []
        while not served.state.counters.cut_too_slow and len(ids) < 900:
            ids += source.publish(user, 1, pad="x" * 60_000)
            await healthy.receives(ids)
        assert served.state.counters.cut_too_slow == 1
        assert not healthy.ended
        await until(lambda: len(served.state.sessions) == 1)
        resumed = await Stream(served.url, user, last_event_id=ids[4]).open(browser)
        await resumed.receives(ids[5:])
        await closing(healthy, resumed)
        stalled.close()


async def test_a_client_that_takes_nothing_is_cut_and_holds_up_no_shutdown(
    settings: Settings, source: Source, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_send_timeout_s=0.3, gateway_queue_max=10_000)) as served:
        stalled = await asyncio.to_thread(_stalling_client, served.port, user)
        source.publish(user, 250, pad="x" * 60_000)
        await until(lambda: served.state.counters.cut_stalled == 1)
        await until(lambda: not served.state.sessions)
        stalled.close()
    with Served(settings) as served:
        stalled = await asyncio.to_thread(_stalling_client, served.port, user)
        source.publish(user, 250, pad="x" * 60_000)
    stalled.close()


async def test_a_burst_cuts_no_healthy_client(
    settings: Settings, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_queue_max=16)) as served:
        stream = await Stream(served.url, user).open(browser)
        await stream.receives(source.publish(user, 2000))
        assert served.state.counters.cut_too_slow == 0
        await stream.close()


# Bounds and freeing


async def test_no_room_gets_503_with_retry_after(settings: Settings, browser: httpx.AsyncClient, user: UUID) -> None:
    with Served(dataclasses.replace(settings, gateway_clients_max=1)) as served:
        first = await Stream(served.url, user).open(browser)
        second = await Stream(served.url, user).open(browser, live=False)
        assert second.response is not None and second.response.status_code == 503
        assert int(second.response.headers["retry-after"]) >= 1
        await first.close()
        await until(lambda: not served.state.sessions)
        third = await Stream(served.url, user).open(browser)
        await closing(second, third)


async def test_many_clients_share_one_pubsub_connection_and_leave_nothing_behind(
    settings: Settings, source: Source, redis_client: redis.Redis, browser: httpx.AsyncClient
) -> None:
    with Served(settings) as served:
        users = [uuid4() for _ in range(20)]
        streams = await asyncio.gather(*(Stream(served.url, user).open(browser) for user in users for _ in range(3)))
        assert len(redis_client.client_list("pubsub")) == 1
        assert len(redis_client.pubsub_channels("sse:*")) == 20 + 2, "the users', everyone's, and the gateways' own"
        ids = source.publish(None, 5)
        await asyncio.gather(*(stream.receives(ids) for stream in streams))
        await closing(*streams)
        await until(lambda: not served.state.sessions)
        assert served.state.subscriptions.channels == ("sse:broadcast",)
        await until(lambda: set(redis_client.pubsub_channels("sse:*")) == {"sse:broadcast", "sse:control"})


async def test_the_last_tab_leaving_while_another_comes_loses_nothing(
    settings: Settings, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        stream = await Stream(served.url, user).open(browser)
        for _ in range(40):
            leaving = asyncio.create_task(stream.close())
            stream = await Stream(served.url, user).open(browser)
            await stream.receives(source.publish(user, 2))
            await leaving
        await stream.close()


# Tokens


async def test_a_stream_ends_with_its_token(
    settings: Settings, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        short = f"Bearer {token(user, ttl_s=2)}"
        stream = await Stream(served.url, user, Authorization=short).open(browser)
        ids = source.publish(user)
        await stream.until(lambda: stream.ended)
        source.publish(user)
        assert stream.ids == ids
        assert served.state.counters.tokens_expired == 1
        again = await Stream(served.url, user, Authorization=short).open(browser, live=False)
        assert again.response is not None and again.response.status_code == 401


# Ends


@pytest.fixture
def process(settings: Settings, tmp_path: Path) -> Iterator[tuple[Process, str]]:
    with gateway_process(tmp_path, {"BRIDGE_BROKER_URL": settings.broker_url}) as running:
        yield running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_open_streams_promptly_and_spreads_their_return(
    number: signal.Signals,
    process: tuple[Process, str],
    source: Source,
    browser: httpx.AsyncClient,
    user: UUID,
    tmp_path: Path,
) -> None:
    gateway, url = process
    streams = [await Stream(url, uuid4()).open(browser) for _ in range(19)]
    streams.append(await Stream(url, user).open(browser))
    stalled = await asyncio.to_thread(_stalling_client, httpx.URL(url).port or 0, user)
    ids = source.publish(user, 250, pad="x" * 60_000)
    await streams[-1].receives(ids)
    began = time.monotonic()
    gateway.send_signal(number)
    await asyncio.to_thread(gateway.wait, WAIT_S)
    assert time.monotonic() - began < 3 * PATIENCE
    for stream in streams:
        await stream.until(lambda s=stream: s.ended)
    hints = {stream.frames[-1].field("retry") for stream in streams}
    assert len(hints) > 10 and None not in hints
    log = (tmp_path / f"gateway-{httpx.URL(url).port}.log").read_text()
    assert "Traceback" not in log and "ERROR" not in log
    stalled.close()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "BRIDGE_GATEWAY_DEV=true"),
        ({"BRIDGE_JWT_SECRET": "short"}, "at least 32 bytes"),
        ({"BRIDGE_GATEWAY_DEV": "true", "BRIDGE_GATEWAY_HOST": "0.0.0.0"}, "loopback"),
        ({"BRIDGE_GATEWAY_DEV": "true", "BRIDGE_REGISTRY": "nowhere:registry"}, "no module 'nowhere'"),
        ({"BRIDGE_GATEWAY_DEV": "true", "BRIDGE_GATEWAY_CORS_ORIGINS": "*"}, "'*' is refused"),
    ],
)
def test_an_operators_mistake_is_told_in_a_sentence(environment: dict[str, str], words: str) -> None:
    uvicorn = [sys.executable, "-m", "uvicorn", "bridge.gateway:app", "--port", str(free_port())]
    result = run(uvicorn, clean_environment(environment))
    assert result.returncode != 0
    assert words in result.stderr
    assert "Traceback" not in result.stderr
