"""Running many schedules: how often a test draws one, how fast a gateway goes in them, and what all of them came to."""

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.gateway import hub, session
from bridge.model.registry import RetryPolicy
from bridge.redis_adapter import event_log as history
from bridge.redis_adapter import tickets
from bridge.testing import event_log as history_twin
from bridge.testing import rights as tickets_twin
from tests.fault.load import SCALE, SEED
from tests.support.schedules import GATEWAYS, EndSession, EndUser, Recheck, Schedule, Withdraw
from tests.support.stores import Store
from tests.support.world import House, InLoop, World

T = TypeVar("T")

PORTION = 200
"""What hypothesis draws from one seed: it remembers all that it has drawn, and a schedule is long."""
BACKOFF = RetryPolicy(base_s=0.004, cap_s=0.05)
PHASES = (Phase.generate, Phase.shrink) if os.environ.get("FAULT_SHRINK") else (Phase.generate,)
"""A schedule that fails waits in vain at its end; so shrinking takes minutes, and is done when asked for."""


def make_hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a gateway's waits and pages small, so that a short schedule meets them."""
    monkeypatch.setattr(hub, "BACKOFF", BACKOFF)
    monkeypatch.setattr(session, "BACKOFF", BACKOFF)
    monkeypatch.setattr(session, "CHECK_EVERY_S", 0.2)
    monkeypatch.setattr(history, "PAGE", 3)
    monkeypatch.setattr(history_twin, "PAGE", 3)
    for module in (tickets, tickets_twin):  # a client that is refused asks again at once
        monkeypatch.setattr(module, "TICKETS_PER_USER_MAX", 1_000_000)


def times(number: int, drawn: st.SearchStrategy[T]) -> Callable[[Callable[[T], None]], Callable[[], None]]:
    """How often a test draws, and what; from seeds that follow on FAULT_SEED, one for each PORTION."""

    def limit(test: Callable[[T], None]) -> Callable[[], None]:
        def run() -> None:
            left = max(1, round(number * SCALE))
            for place in range(math.ceil(left / PORTION)):
                bounded = hypothesis_settings(
                    max_examples=min(PORTION, left - place * PORTION),
                    deadline=None,
                    database=None,
                    phases=PHASES,
                    suppress_health_check=list(HealthCheck),
                )
                seed(SEED + place)(bounded(given(drawn)(test)))()

        return run

    return limit


class Tally:
    """What all schedules of a test came to."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._began = time.monotonic()

    def play(self, store: Store, schedule: Schedule) -> None:
        """Run one schedule and judge it."""
        asyncio.run(self.played(store, schedule))

    async def played(self, store: Store, schedule: Schedule, *houses: House) -> None:
        """The same, in a loop that runs; with the gateways elsewhere, if that is said."""
        world = World(store, houses or [InLoop() for _ in range(GATEWAYS)], schedule)
        async with world.running():
            accounts = await world.play()
        faults = {number: account.faults for number, account in enumerate(accounts) if account.faults}
        assert not (faults or world.rights.leaks), world.story()
        resets = sum(account.resets for account in accounts)
        assert schedule.forgets or not resets, f"a reset although nothing can be missing: {world.story()}"
        self._sums["schedules"] += 1
        self._sums["rights withdrawn"] += sum(isinstance(step, Withdraw) for step in schedule.steps)
        self._sums["times that all were asked again"] += schedule.steps.count(Recheck())
        self._sums["disconnects"] += sum(isinstance(step, EndUser | EndSession) for step in schedule.steps)
        self._sums["clients"] += len(accounts)
        self._sums["events shown"] += sum(account.events for account in accounts)
        self._sums["resets"] += resets
        self._sums["resets with nothing missing"] += sum(account.idle_resets for account in accounts)

    def __str__(self) -> str:
        figures = ", ".join(f"{number} {name}" for name, number in self._sums.items())
        return f"FAULT_SEED={SEED}: {figures}; {time.monotonic() - self._began:.0f} s"
