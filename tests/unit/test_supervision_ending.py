"""How tasks are ended that forget a cancellation."""

import asyncio
from contextlib import suppress

from bridge.runtime.supervision import end_tasks
from tests.support.waiting import WAIT_S


async def test_a_task_that_forgets_a_cancellation_is_ended_nevertheless() -> None:
    forgot = False

    async def write() -> None:
        nonlocal forgot
        # As asyncio.wait_for does before Python 3.12, when what it waits for is just done.
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        forgot = True
        await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await asyncio.sleep(0)
    async with asyncio.timeout(WAIT_S):
        await end_tasks(task)
    assert forgot
    assert task.cancelled()


async def test_what_an_ended_task_raises_is_dropped() -> None:
    async def fail() -> None:
        raise ConnectionError

    async with asyncio.timeout(WAIT_S):
        await end_tasks(asyncio.create_task(fail()))
