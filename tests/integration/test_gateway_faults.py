"""What befalls a gateway: slow clients, silence, expiring tokens, Redis gone, signals. Nobody loses an event."""

import asyncio
import dataclasses
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import redis

from bridge.gateway import hub as hub_module
from bridge.gateway import session as session_module
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.settings import Settings
from tests.support.gateway import gateway_process
from tests.support.keys import BEGAN, POSITION
from tests.support.processes import Process, clean_environment, run
from tests.support.streams import SECRET, Served, Source, Stream, closing, token, until
from tests.support.waiting import PATIENCE, PROCESS_TIMEOUT_S, WAIT_S


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


@pytest.fixture
def source(settings: Settings) -> Iterator[Source]:
    source = Source(settings)
    yield source
    source.close()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=httpx.Timeout(PROCESS_TIMEOUT_S), limits=limits) as client:
        yield client


@pytest.fixture
def user() -> UUID:
    return uuid4()


# Silence


async def test_heartbeats_come_after_silence_and_never_more_often(
    settings: Settings, source: Source, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_heartbeat_s=0.2)) as served:
        stream = await Stream(served.url, user).open(client)
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
    settings: Settings, source: Source, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_queue_max=20)) as served:
        stalled = await asyncio.to_thread(_stalling_client, served.port, user)
        healthy = await Stream(served.url, user).open(client)
        ids: list[str] = []
        while not served.state.counters.cut_too_slow and len(ids) < 900:
            ids += source.publish(user, 1, pad="x" * 60_000)
            await healthy.receives(ids)
        assert served.state.counters.cut_too_slow == 1
        assert not healthy.ended
        await until(lambda: len(served.state.sessions) == 1)
        resumed = await Stream(served.url, user, last_event_id=ids[4]).open(client)
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
    settings: Settings, source: Source, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_queue_max=16)) as served:
        stream = await Stream(served.url, user).open(client)
        await stream.receives(source.publish(user, 2000))
        assert served.state.counters.cut_too_slow == 0
        await stream.close()


# Bounds and freeing


async def test_no_room_gets_503_with_retry_after(settings: Settings, client: httpx.AsyncClient, user: UUID) -> None:
    with Served(dataclasses.replace(settings, gateway_clients_max=1)) as served:
        first = await Stream(served.url, user).open(client)
        second = await Stream(served.url, user).open(client, live=False)
        assert second.response is not None and second.response.status_code == 503
        assert int(second.response.headers["retry-after"]) >= 1
        await first.close()
        await until(lambda: not served.state.sessions)
        third = await Stream(served.url, user).open(client)
        await closing(second, third)


async def test_many_clients_share_one_pubsub_connection_and_leave_nothing_behind(
    settings: Settings, source: Source, redis_client: redis.Redis, client: httpx.AsyncClient
) -> None:
    with Served(settings) as served:
        users = [uuid4() for _ in range(20)]
        streams = await asyncio.gather(*(Stream(served.url, user).open(client) for user in users for _ in range(3)))
        assert len(redis_client.client_list("pubsub")) == 1
        assert len(redis_client.pubsub_channels("sse:*")) == 21
        ids = source.publish(None, 5)
        await asyncio.gather(*(stream.receives(ids) for stream in streams))
        await closing(*streams)
        await until(lambda: not served.state.sessions)
        assert served.state.subscriptions.channels == ("sse:broadcast",)
        await until(lambda: redis_client.pubsub_channels("sse:*") == ["sse:broadcast"])


async def test_the_last_tab_leaving_while_another_comes_loses_nothing(
    settings: Settings, source: Source, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        stream = await Stream(served.url, user).open(client)
        for _ in range(40):
            leaving = asyncio.create_task(stream.close())
            stream = await Stream(served.url, user).open(client)
            await stream.receives(source.publish(user, 2))
            await leaving
        await stream.close()


# Tokens


async def test_a_stream_ends_with_its_token(
    settings: Settings, source: Source, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        short = f"Bearer {token(user, ttl_s=2)}"
        stream = await Stream(served.url, user, Authorization=short).open(client)
        ids = source.publish(user)
        await stream.until(lambda: stream.ended)
        source.publish(user)
        assert stream.ids == ids
        assert served.state.counters.tokens_expired == 1
        again = await Stream(served.url, user, Authorization=short).open(client, live=False)
        assert again.response is not None and again.response.status_code == 401


# Redis


async def _publish_until(source: Source, stop: asyncio.Event, user: UUID, ids: list[str]) -> None:
    while not stop.is_set():
        ids += await asyncio.to_thread(source.publish, user, 3)
        ids += await asyncio.to_thread(source.publish, None)


async def test_pubsub_connections_killed_while_publishing_leave_no_gap(
    settings: Settings, source: Source, redis_client: redis.Redis, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        streams = [await Stream(served.url, user).open(client) for _ in range(3)]
        ids: list[str] = []
        stop = asyncio.Event()
        publishing = asyncio.create_task(_publish_until(source, stop, user, ids))
        for outage in range(1, 6):
            so_far = len(ids)
            await until(lambda n=so_far: len(ids) > n + 20)
            redis_client.client_kill_filter(_type="pubsub")
            await until(lambda n=outage: served.state.counters.redis_losses >= n and served.state.subscribed)
        stop.set()
        await publishing
        for stream in streams:
            await stream.receives(ids)
            assert stream.resets == []
        await closing(*streams)


async def test_every_member_knows_of_a_loss_before_it_is_counted_and_logged(
    settings: Settings, redis_client: redis.Redis
) -> None:
    seen: list[bool] = []

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "redis_lost" in record.getMessage():
                seen.append(served.state.subscribed)

    watching = Watching()
    with Served(settings) as served:
        hub_module.logger.addHandler(watching)
        try:
            redis_client.client_kill_filter(_type="pubsub")
            await until(lambda: seen)
        finally:
            hub_module.logger.removeHandler(watching)
    assert seen == [False]


async def test_redis_killed_and_started_again_under_open_streams_leaves_no_gap(
    tmp_path: Path, client: httpx.AsyncClient, user: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedServer(port=free_port(), folder=tmp_path)
    server.start()
    settings = Settings(broker_url=server.url, jwt_secret=SECRET, gateway_heartbeat_s=0.2)
    source = Source(settings)
    try:
        with Served(settings) as served, caplog.at_level(logging.WARNING, "bridge.gateway.hub"):
            stream = await Stream(served.url, user).open(client)
            ids = source.publish(user, 5)
            for _ in range(3):
                await asyncio.to_thread(server.kill)
                await until(lambda: not served.state.subscribed)
                beats = len(stream.frames)
                await stream.until(lambda n=beats: len(stream.frames) > n + 2)  # heartbeats go on
                ready = await client.get(served.url + "/health/ready")
                assert ready.status_code == 503
                late = await Stream(served.url, user, last_event_id=ids[-1]).open(client, live=False)
                await asyncio.to_thread(server.start)
                # Before the hub is back: nobody hears it, it is in the history alone.
                ids += await asyncio.to_thread(source.publish, user, 4)
                await late.until(lambda s=late: s.is_live)
                ids += await asyncio.to_thread(source.publish, None, 2)
                await stream.receives(ids)
                await late.receives(ids[-6:])
                await late.close()
            assert stream.resets == []
            await stream.close()
        assert sum("redis_lost" in record.message for record in caplog.records) == 3
    finally:
        source.close()
        server.stop()


async def test_a_frozen_redis_is_noticed_and_what_was_missed_is_read_on(
    client: httpx.AsyncClient, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "PROBE_AFTER_S", 0.2)
    with EmbeddedServer() as server:
        settings = Settings(broker_url=server.url, jwt_secret=SECRET, gateway_heartbeat_s=0.2)
        source = Source(settings)
        with Served(settings) as served:
            stream = await Stream(served.url, user).open(client)
            os.kill(server.pid or 0, signal.SIGSTOP)
            try:
                await until(lambda: not served.state.subscribed)
                beats = len(stream.frames)
                await stream.until(lambda: len(stream.frames) > beats + 2)
            finally:
                os.kill(server.pid or 0, signal.SIGCONT)
            ids = await asyncio.to_thread(source.publish, user, 3)
            await stream.receives(ids)
            assert stream.resets == []
            await stream.close()
        source.close()


async def test_redis_that_lost_its_memory_is_told_to_the_client(
    settings: Settings, source: Source, redis_client: redis.Redis, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        stream = await Stream(served.url, user).open(client)
        before = source.publish(user, 3)
        await stream.receives(before)
        redis_client.flushall()
        redis_client.client_kill_filter(_type="pubsub")
        await stream.until(lambda: stream.resets == ['{"reason": "trimmed"}'])
        await stream.receives([*before, *source.publish(user, 2)])
        await stream.close()


async def test_a_fresh_client_is_not_held_liable_for_the_silence_before_it(
    settings: Settings, source: Source, redis_client: redis.Redis, client: httpx.AsyncClient, user: UUID
) -> None:
    # The last event is older than a stream lives.
    long_ago = f"{int((time.time() - 2 * settings.stream_ttl_s) * 1000)}-0"
    redis_client.mset({POSITION: long_ago, BEGAN: long_ago})
    with Served(settings) as served:
        stream = await Stream(served.url, user).open(client)
        source.publish(uuid4())
        redis_client.client_kill_filter(_type="pubsub")
        await until(lambda: served.state.counters.backfills == 1)
        await stream.receives(source.publish(user))
        redis_client.client_kill_filter(_type="pubsub")
        await until(lambda: served.state.counters.backfills == 2)
        assert stream.resets == []
        await stream.close()


async def test_without_retention_an_outage_is_told_to_the_client(
    settings: Settings, redis_client: redis.Redis, client: httpx.AsyncClient, user: UUID
) -> None:
    forgetful = dataclasses.replace(settings, stream_ttl_s=0)
    source = Source(forgetful)
    with Served(forgetful) as served:
        stream = await Stream(served.url, user).open(client)
        redis_client.client_kill_filter(_type="pubsub")
        await stream.until(lambda: stream.resets == ['{"reason": "not_retained"}'])
        await stream.receives(source.publish(user, 3))
        await stream.close()
    source.close()


async def test_a_silent_gap_is_found_now_and_then(
    settings: Settings, source: Source, redis_client: redis.Redis, client: httpx.AsyncClient, user: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(session_module, "CHECK_EVERY_S", 0.3)
    with Served(settings) as served:
        stream = await Stream(served.url, user).open(client)
        heard = source.publish(user)
        await stream.receives(heard)
        # Nothing of this reaches the channel.
        position = redis_client.get("sse:position")
        assert isinstance(position, str)
        ms, _, seq = position.partition("-")
        unheard, next_position = str(uuid4()), f"{ms}-{int(seq) + 1}"
        fields = {"event_id": unheard, "event_type": "import.progress", "user_id": str(user), "data": "{}"}
        redis_client.xadd(f"sse:stream:user:{{{user}}}", fields, id=next_position)
        redis_client.set("sse:position", next_position)
        await stream.receives([*heard, unheard])
        await stream.receives([*heard, unheard, *source.publish(user)])
        assert stream.resets == []
        await stream.close()


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
    client: httpx.AsyncClient,
    user: UUID,
    tmp_path: Path,
) -> None:
    gateway, url = process
    streams = [await Stream(url, uuid4()).open(client) for _ in range(19)]
    streams.append(await Stream(url, user).open(client))
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
