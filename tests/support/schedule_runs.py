"""Running many schedules: how often a test draws one, how fast a gateway goes in them, and what all of them came to."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, seed
from hypothesis import settings as hypothesis_settings

from bridge.gateway import hub, session
from bridge.model.registry import RetryPolicy
from bridge.redis_adapter import event_log as history
from bridge.testing import event_log as history_twin
from tests.fault.load import SCALE, SEED
from tests.support.schedules import Recheck, Schedule, Withdraw
from tests.support.stores import Store
from tests.support.world import House, World

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

    def play(self, store: Store, house: House, schedule: Schedule) -> None:
        """Run one schedule and judge it."""
        asyncio.run(self.played(store, house, schedule))

    async def played(self, store: Store, house: House, schedule: Schedule) -> None:
        """The same, in a loop that runs."""
        world = World(store, house, schedule)
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
