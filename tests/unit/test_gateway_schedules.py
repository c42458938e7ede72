"""Schedules on the twins: no client gets what it may not hear, and each event comes once, or a reset.

As in ``tests/fault/test_gateway_schedules.py``, where they meet a real Redis.
``FAULT_SCALE=2500`` plays a hundred thousand.
"""

import asyncio
import logging

import pytest
from hypothesis import strategies as st

from tests.support.schedule_runs import Tally, make_hasty, times
from tests.support.schedules import Schedule, schedules
from tests.support.stores import OnTwins, gateways_on_twins

AT_ONCE = 10
"""Schedules that are played side by side, as each waits most of the time."""


def test_no_client_gets_what_it_may_not_hear_and_each_event_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="bridge")  # in a long run, what is kept of the log fills the memory
    make_hasty(monkeypatch)
    gateways_on_twins(monkeypatch)
    tally = Tally()

    async def play(several: list[Schedule]) -> None:
        async with asyncio.TaskGroup() as group:
            for schedule in several:
                group.create_task(tally.played(OnTwins(), schedule))

    @times(4, st.lists(schedules(), min_size=AT_ONCE, max_size=AT_ONCE))
    def run(several: list[Schedule]) -> None:
        asyncio.run(play(several))

    run()
    print(f"on the twins: {tally}")
