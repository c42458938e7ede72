"""Redis in trouble under open streams: cut, killed, frozen, emptied or silent; no gap stays, or the client is told."""

import asyncio
import dataclasses
import logging
import os
import signal
import time
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import redis

from bridge.gateway import hub as hub_module
from bridge.gateway import session as session_module
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.settings import Settings
from tests.support.keys import BEGAN, POSITION
from tests.support.streams import SECRET, Served, Source, Stream, closing, until


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


# Redis


async def _publish_until(source: Source, stop: asyncio.Event, user: UUID, ids: list[str]) -> None:
    while not stop.is_set():
        ids += await asyncio.to_thread(source.publish, user, 3)
        ids += await asyncio.to_thread(source.publish, None)


async def test_pubsub_connections_killed_while_publishing_leave_no_gap(
    settings: Settings, source: Source, redis_client: redis.Redis, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        streams = [await Stream(served.url, user).open(browser) for _ in range(3)]
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
    tmp_path: Path, browser: httpx.AsyncClient, user: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedServer(port=free_port(), folder=tmp_path)
    server.start()
    settings = Settings(broker_url=server.url, jwt_secret=SECRET, gateway_heartbeat_s=0.2)
    source = Source(settings)
    try:
        with Served(settings) as served, caplog.at_level(logging.WARNING, "bridge.gateway.hub"):
            stream = await Stream(served.url, user).open(browser)
            ids = source.publish(user, 5)
            for _ in range(3):
                await asyncio.to_thread(server.kill)
                await until(lambda: not served.state.subscribed)
                beats = len(stream.frames)
                await stream.until(lambda n=beats: len(stream.frames) > n + 2)  # heartbeats go on
                ready = await browser.get(served.url + "/health/ready")
                assert ready.status_code == 503
                late = await Stream(served.url, user, last_event_id=ids[-1]).open(browser, live=False)
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
    browser: httpx.AsyncClient, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "PROBE_AFTER_S", 0.2)
    with EmbeddedServer() as server:
        settings = Settings(broker_url=server.url, jwt_secret=SECRET, gateway_heartbeat_s=0.2)
        source = Source(settings)
        with Served(settings) as served:
            stream = await Stream(served.url, user).open(browser)
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
    settings: Settings, source: Source, redis_client: redis.Redis, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        stream = await Stream(served.url, user).open(browser)
        before = source.publish(user, 3)
        await stream.receives(before)
        redis_client.flushall()
        redis_client.client_kill_filter(_type="pubsub")
        await stream.until(lambda: stream.resets == ['{"reason": "trimmed"}'])
        await stream.receives([*before, *source.publish(user, 2)])
        await stream.close()


async def test_a_fresh_client_is_not_held_liable_for_the_silence_before_it(
    settings: Settings, source: Source, redis_client: redis.Redis, browser: httpx.AsyncClient, user: UUID
) -> None:
    # The last event is older than a stream lives.
    long_ago = f"{int((time.time() - 2 * settings.stream_ttl_s) * 1000)}-0"
    redis_client.mset({POSITION: long_ago, BEGAN: long_ago})
    with Served(settings) as served:
        stream = await Stream(served.url, user).open(browser)
        source.publish(uuid4())
        redis_client.client_kill_filter(_type="pubsub")
        await until(lambda: served.state.counters.backfills == 1)
        await stream.receives(source.publish(user))
        redis_client.client_kill_filter(_type="pubsub")
        await until(lambda: served.state.counters.backfills == 2)
        assert stream.resets == []
        await stream.close()


async def test_without_retention_an_outage_is_told_to_the_client(
    settings: Settings, redis_client: redis.Redis, browser: httpx.AsyncClient, user: UUID
) -> None:
    forgetful = dataclasses.replace(settings, stream_ttl_s=0)
    source = Source(forgetful)
    with Served(forgetful) as served:
        stream = await Stream(served.url, user).open(browser)
        redis_client.client_kill_filter(_type="pubsub")
        await stream.until(lambda: stream.resets == ['{"reason": "not_retained"}'])
        await stream.receives(source.publish(user, 3))
        await stream.close()
    source.close()


async def test_a_silent_gap_is_found_now_and_then(
    settings: Settings, source: Source, redis_client: redis.Redis, browser: httpx.AsyncClient, user: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(session_module, "CHECK_EVERY_S", 0.3)
    with Served(settings) as served:
        stream = await Stream(served.url, user).open(browser)
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
