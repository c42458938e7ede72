"""Randomized schedules against the gateway's promises: a client sees each event once, or a reset that says it cannot;
and nothing under an address that it may not hear.

Everything is real but one thing: in most schedules the clients call the ASGI application without a socket, through a
short pipe whose end the gateway notices at once. So ten thousand schedules take minutes; the same schedules run
over HTTP in a part of their own. Waits of the gateway (between attempts to reach Redis, between its checks) and
the size of a page are made small, so that a short schedule meets them.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings

from bridge.gateway import hub, session
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.model.registry import RetryPolicy
from bridge.redis_adapter import event_log as history
from tests.fault.conftest import SCALE, SEED
from tests.support.schedules import Recheck, Schedule, Withdraw, schedules
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.world import InLoop, OverHttp, World

BACKOFF = RetryPolicy(base_s=0.004, cap_s=0.05)
PHASES = (Phase.generate, Phase.shrink) if os.environ.get("FAULT_SHRINK") else (Phase.generate,)
"""A schedule that fails waits in vain at its end; so shrinking takes minutes, and is done when asked for."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server to kill."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with EmbeddedServer(port=free_port(), folder=folder) as server:
        yield server


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "BACKOFF", BACKOFF)
    monkeypatch.setattr(session, "BACKOFF", BACKOFF)
    monkeypatch.setattr(session, "CHECK_EVERY_S", 0.2)
    monkeypatch.setattr(history, "PAGE", 3)


def times(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """How often a test draws a schedule, and from which seed."""

    def limit(test: Callable[..., None]) -> Callable[..., None]:
        bounded = hypothesis_settings(
            max_examples=max(1, round(number * SCALE)),
            deadline=None,
            database=None,
            phases=PHASES,
            suppress_health_check=list(HealthCheck),
        )
        return seed(SEED)(bounded(test))

    return limit


class Tally:
    """What all schedules of a test came to."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._began = time.monotonic()

    def play(self, server: EmbeddedServer, house: InLoop | OverHttp, schedule: Schedule) -> None:
        """Run one schedule and judge it."""
        asyncio.run(self.played(server, house, schedule))

    async def played(self, server: EmbeddedServer, house: InLoop | OverHttp, schedule: Schedule) -> None:
        """The same, in a loop that runs."""
        world = World(server, house, schedule)
        async with world.running():
            accounts = await world.play()
        faults = {number: account.faults for number, account in enumerate(accounts) if account.faults}
        assert not (faults or world.rights.leaks), world.story()
        resets = sum(account.resets for account in accounts)
        assert schedule.forgets or not resets, f"a reset although nothing can be missing: {world.story()}"
        self._sums["schedules"] += 1
        self._sums["rights withdrawn"] += sum(isinstance(step, Withdraw) for step in schedule.steps)
        self._sums["times that all were asked again"] += schedule.steps.count(Recheck())
        self._sums["clients"] += len(accounts)
        self._sums["events shown"] += sum(account.events for account in accounts)
        self._sums["resets"] += resets
        self._sums["resets with nothing missing"] += sum(account.idle_resets for account in accounts)

    def __str__(self) -> str:
        figures = ", ".join(f"{number} {name}" for name, number in self._sums.items())
        return f"FAULT_SEED={SEED}: {figures}; {time.monotonic() - self._began:.0f} s"


def test_each_client_sees_each_event_once_or_a_reset(server: EmbeddedServer) -> None:
    tally = Tally()

    @times(200)
    @given(schedules())
    def run(schedule: Schedule) -> None:
        tally.play(server, InLoop(), schedule)

    run()
    print(f"everything may happen: {tally}")


def test_where_nothing_is_forgotten_there_is_no_reset(server: EmbeddedServer) -> None:
    tally = Tally()

    @times(100)
    @given(schedules(forgetting=False))
    def run(schedule: Schedule) -> None:
        tally.play(server, InLoop(), schedule)

    run()
    print(f"nothing is forgotten: {tally}")


def test_when_streams_expire_each_client_sees_each_event_once_or_a_reset(server: EmbeddedServer) -> None:
    tally = Tally()

    @times(4)
    @given(schedules(expiring=True))
    def run(schedule: Schedule) -> None:
        tally.play(server, InLoop(), schedule)

    run()
    print(f"streams expire: {tally}")


def test_the_same_over_http(server: EmbeddedServer) -> None:
    tally = Tally()

    async def play(schedule: Schedule) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=httpx.Timeout(PROCESS_TIMEOUT_S), limits=limits) as client:
            await tally.played(server, OverHttp(client), schedule)

    @times(16)
    @given(schedules(rights=False))
    def run(schedule: Schedule) -> None:
        asyncio.run(play(schedule))

    run()
    print(f"over HTTP: {tally}")
