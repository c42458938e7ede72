"""The configurations that ship for nginx, HAProxy and Caddy, run by the real ones before a real gateway."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from bridge.local.redis_server import free_port
from bridge.settings import Settings
from tests.support.gateway import COMMAND, gateway_process
from tests.support.native import NativeEventSource
from tests.support.proxies import PROXIES, running_proxy
from tests.support.slow import ask, read_all, request
from tests.support.streams import EVENTS_PATH, SECRET, Source, Stream, closing, token, until
from tests.support.waiting import WAIT_S

EVENTS = 30
AS_SOON = 10
"""Times as long as directly an event may take through a proxy; one that holds events back takes a hundred times."""
FLOOR_S = 0.01
HEARTBEAT_S = 0.4
STREAMS_MAX = 3


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(redis_url: str) -> Iterator[Source]:
    source = Source(Settings(broker_url=redis_url, jwt_secret=SECRET))
    yield source
    source.close()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=WAIT_S, limits=limits) as client:
        yield client


@pytest.fixture
def environment(redis_url: str) -> dict[str, str]:
    return {
        "BRIDGE_BROKER_URL": redis_url,
        "BRIDGE_GATEWAY_HEARTBEAT_S": str(HEARTBEAT_S),
        "BRIDGE_GATEWAY_CLIENTS_MAX": str(STREAMS_MAX),
        "BRIDGE_GATEWAY_RETRY_S": "0.2",
    }


async def _clients(client: httpx.AsyncClient, url: str) -> int:
    return int((await client.get(url + "/health/ready")).json()["clients"])


async def test_events_come_at_once_heartbeats_pass_and_the_end_is_known(
    proxy: str, environment: dict[str, str], tmp_path: Path, source: Source, client: httpx.AsyncClient, user: UUID
) -> None:
    port = free_port()
    with (
        gateway_process(tmp_path, environment, COMMAND, port=port) as (_, url),
        running_proxy(proxy, tmp_path, port) as outside,
    ):
        direct, behind = [await Stream(at, user).open(client) for at in (url, outside)]
        delays: dict[Stream, list[float]] = {direct: [], behind: []}
        for number in range(1, EVENTS + 1):
            began = time.monotonic()
            source.publish(user)
            for stream in (direct, behind):
                await until(lambda one=stream, n=number: len(one.ids) >= n)
                arrived = max(at for at, frame in zip(stream.arrived_at, stream.frames, strict=True) if frame.id)
                delays[stream].append(arrived - began)
        soon, later = statistics.median(delays[direct]), statistics.median(delays[behind])
        print(f"{proxy}: {soon * 1000:.1f} ms directly, {later * 1000:.1f} ms behind it")
        assert later < max(FLOOR_S, soon) * AS_SOON
        beats = sum(frame.comment == "heartbeat" for frame in behind.frames)
        await behind.until(lambda: sum(frame.comment == "heartbeat" for frame in behind.frames) >= beats + 3)
        await behind.close()
        deadline = time.monotonic() + WAIT_S
        while await _clients(client, url) != 1:
            assert time.monotonic() < deadline, "the gateway has not heard that the browser left"
        await direct.close()


async def test_a_browser_survives_a_restart_of_the_gateway_and_misses_nothing(
    proxy: str, environment: dict[str, str], tmp_path: Path, source: Source, user: UUID
) -> None:
    port = free_port()
    with ExitStack() as stack:
        first, _ = stack.enter_context(gateway_process(tmp_path, environment, COMMAND, port=port))
        outside = stack.enter_context(running_proxy(proxy, tmp_path, port))
        browser = NativeEventSource(outside + EVENTS_PATH, {"Authorization": f"Bearer {token(user)}"})
        async with browser.running():
            await until(lambda: browser.has_position)
            ids = source.publish(user, 2)
            await until(lambda: browser.ids == ids, seen=lambda: str(browser))
            first.kill()
            first.wait()
            ids += source.publish(user, 3)
            answered = browser.answers
            await until(lambda: browser.answers >= answered + 2, seen=lambda: str(browser))
            stack.enter_context(gateway_process(tmp_path, environment, COMMAND, port=port))
            ids += source.publish(user, 2)
            await until(lambda: browser.ids == ids, seen=lambda: str(browser))
            assert browser.closed_by is None


async def test_a_refusal_that_passes_reaches_the_browser(
    proxy: str, environment: dict[str, str], tmp_path: Path, client: httpx.AsyncClient
) -> None:
    port = free_port()
    with gateway_process(tmp_path, environment, COMMAND, port=port), running_proxy(proxy, tmp_path, port) as outside:
        streams = [await Stream(outside, uuid4()).open(client) for _ in range(STREAMS_MAX)]
        said = {"Authorization": f"Bearer {token(uuid4())}"}
        answer = await client.get(outside + EVENTS_PATH, headers={**said, "Accept": "text/event-stream"})
        assert answer.status_code == 200 and "retry: " in answer.text and "no room" in answer.text
        plain = await client.get(outside + EVENTS_PATH, headers=said)
        assert plain.status_code == 503 and int(plain.headers["retry-after"]) >= 1
        assert (await client.get(outside + EVENTS_PATH)).status_code == 401
        assert (await client.get(outside + "/metrics")).status_code == 404
        await closing(*streams)


async def test_hostile_requests_are_cut_and_hold_up_nobody(
    proxy: str, environment: dict[str, str], tmp_path: Path, client: httpx.AsyncClient, user: UUID
) -> None:
    port = free_port()
    with gateway_process(tmp_path, environment, COMMAND, port=port), running_proxy(proxy, tmp_path, port) as outside:
        outside_port = httpx.URL(outside).port or 0
        half = [ask(outside_port, request(user)[:-30]) for _ in range(50)]
        huge = ask(outside_port, request(user, X_Pad="x" * 100_000), receive_bytes=65_536)
        got = await asyncio.to_thread(read_all, huge)
        assert got.split(b" ")[1] in (b"400", b"414", b"431") or not got
        stream = await Stream(outside, user).open(client)
        for one in half:
            assert (await asyncio.to_thread(read_all, one)).split(b" ")[1:2] in ([b"408"], [b"400"], [])
            one.close()
        assert not stream.ended
        await stream.close()
        huge.close()
