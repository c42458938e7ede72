"""Several hear of the end of a process, each while it runs, and leave the handlers as they were in whatever order."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bridge.runtime.shutdown import heard_signals


@pytest.fixture
def handled() -> Iterator[list[str]]:
    """What the process' own handler took note of."""
    noted: list[str] = []

    def handle(_number: int, _frame: object) -> None:
        noted.append("own")

    before = signal.signal(signal.SIGTERM, handle)
    yield noted
    assert signal.getsignal(signal.SIGTERM) is handle
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("ends_first", [0, 1])
async def test_whoever_still_runs_hears_of_the_end(handled: list[str], ends_first: int) -> None:
    runs = [ExitStack(), ExitStack()]
    for number, run in enumerate(runs):
        run.enter_context(heard_signals(lambda number=number: handled.append(f"gateway {number}")))  # type: ignore[misc]
    runs[ends_first].close()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0)
    assert handled == ["own", f"gateway {1 - ends_first}"]
    runs[1 - ends_first].close()


def test_one_whose_loop_has_ended_keeps_no_other_handler_from_its_signal(handled: list[str]) -> None:
    """As gateways of one process do that end in another order than they began."""
    first, second = ExitStack(), ExitStack()

    async def begin(run: ExitStack) -> None:
        run.enter_context(heard_signals(lambda: handled.append("late")))

    for run in (first, second):
        asyncio.run(begin(run))
    first.close()
    second.close()
    signal.raise_signal(signal.SIGTERM)
    assert handled == ["own"]
