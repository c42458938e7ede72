"""Randomized schedules against the gateway's promises: a client sees each event once, or a reset that says it cannot;
and nothing under an address that it may not hear.

Everything is real but one thing: in most schedules the clients call the ASGI application without a socket, through a
short pipe whose end the gateway notices at once. So ten thousand schedules take minutes; the same schedules run
over HTTP in a part of their own. Waits of the gateway (between attempts to reach Redis, between its checks) and
the size of a page are made small, so that a short schedule meets them.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bridge.local.redis_server import EmbeddedServer, free_port
from tests.support.schedule_runs import Tally, make_hasty, times
from tests.support.schedules import Schedule, schedules
from tests.support.stores import OnRedis
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.world import OverHttp


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server to kill."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with EmbeddedServer(port=free_port(), folder=folder) as server:
        yield server


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_hasty(monkeypatch)


def test_each_client_sees_each_event_once_or_a_reset(server: EmbeddedServer) -> None:
    tally = Tally()

    @times(200, schedules())
    def run(schedule: Schedule) -> None:
        tally.play(OnRedis(server), schedule)

    run()
    print(f"everything may happen: {tally}")


def test_where_nothing_is_forgotten_there_is_no_reset(server: EmbeddedServer) -> None:
    tally = Tally()

    @times(100, schedules(forgetting=False))
    def run(schedule: Schedule) -> None:
        tally.play(OnRedis(server), schedule)

    run()
    print(f"nothing is forgotten: {tally}")


def test_when_streams_expire_each_client_sees_each_event_once_or_a_reset(server: EmbeddedServer) -> None:
    tally = Tally()

    @times(4, schedules(expiring=True))
    def run(schedule: Schedule) -> None:
        tally.play(OnRedis(server), schedule)

    run()
    print(f"streams expire: {tally}")


def test_the_same_over_http(server: EmbeddedServer) -> None:
    tally = Tally()

    async def play(schedule: Schedule) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=httpx.Timeout(PROCESS_TIMEOUT_S), limits=limits) as client:
            await tally.played(OnRedis(server), schedule, OverHttp(client))

    @times(16, schedules(rights=False))
    def run(schedule: Schedule) -> None:
        asyncio.run(play(schedule))

    run()
    print(f"over HTTP: {tally}")
