"""Clients that are behind by megabytes and read nothing: they cost a gateway little, and nobody else anything."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psutil
import pytest

from bridge.settings import Settings
from tests.support.gateway import gateway_process
from tests.support.slow import many, request
from tests.support.streams import SECRET, Source, Stream, until
from tests.support.waiting import PROCESS_TIMEOUT_S

CLIENTS = 200
EVENTS = 1_000
EVENT_BYTES = 60_000
GROWS_MAX = 150 * 2**20
BYSTANDER_EVENTS = 100
PAUSE_S = 0.02
FROM_THE_START = {"Last_Event_ID": "0-1"}


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


@pytest.fixture
def gateway(settings: Settings, tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    environment = {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_GATEWAY_STREAMS_PER_USER": str(CLIENTS)}
    with gateway_process(tmp_path, environment) as running:
        yield running


async def test_two_hundred_of_one_user_that_are_far_behind(
    gateway: tuple["subprocess.Popen[bytes]", str], source: Source
) -> None:
    user = uuid4()
    _publish(source, user, EVENTS)
    await _judge(gateway, source, [request(user, **FROM_THE_START)] * CLIENTS)


async def test_two_hundred_users_that_are_far_behind(
    gateway: tuple["subprocess.Popen[bytes]", str], source: Source
) -> None:
    crowd = [uuid4() for _ in range(CLIENTS)]
    for user in crowd:
        _publish(source, user, EVENTS // 50)
    await _judge(gateway, source, [request(user, **FROM_THE_START) for user in crowd])


async def test_two_hundred_that_are_live_while_much_comes(
    gateway: tuple["subprocess.Popen[bytes]", str], source: Source
) -> None:
    user = uuid4()
    await _judge(gateway, source, [request(user)] * CLIENTS, meanwhile=user)


def _publish(source: Source, user: UUID, number: int) -> None:
    for _ in range(0, number, 10):
        source.publish(user, 10, pad="x" * EVENT_BYTES)


async def _judge(
    gateway: tuple["subprocess.Popen[bytes]", str], source: Source, crowd: list[bytes], meanwhile: UUID | None = None
) -> None:
    process, url = gateway
    bystander = uuid4()
    async with httpx.AsyncClient(timeout=PROCESS_TIMEOUT_S) as client:
        stream = await Stream(url, bystander).open(client)
        alone = await _delays(source, bystander, stream)
        before = psutil.Process(process.pid).memory_info().rss
        with many(httpx.URL(url).port or 0, crowd):
            if meanwhile:
                await asyncio.to_thread(_publish, source, meanwhile, EVENTS)
            delays = await _delays(source, bystander, stream)
            grown = psutil.Process(process.pid).memory_info().rss - before
        print(f"grown by {grown / 2**20:.0f} MiB, p99 {delays[-2] * 1000:.0f} ms, alone {alone[-2] * 1000:.0f} ms")
        assert grown < GROWS_MAX
        assert delays[-2] < max(1.0, 10 * alone[-2])
        await stream.close()


async def _delays(source: Source, user: UUID, stream: Stream) -> list[float]:
    """From publishing until the bystander has it, in s, sorted."""
    found = []
    for number in range(len(stream.ids) + 1, len(stream.ids) + BYSTANDER_EVENTS + 1):
        began = time.monotonic()
        source.publish(user)
        await until(lambda n=number: len(stream.ids) >= n)  # type: ignore[misc]
        found.append(time.monotonic() - began)
        await asyncio.sleep(PAUSE_S)
    return sorted(found)
