"""Ending tasks, also those that forget that they were told to."""

import asyncio
from typing import Any

CANCEL_EVERY_S = 0.05
"""A task that is to end and does not is told again."""


async def end_tasks(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until they have ended; what they raise is dropped.

    Once is not enough: before Python 3.12 ``asyncio.wait_for``, through which redis-py sends, forgets a
    cancellation that comes in the moment when it is done. A hub that waited for such a task was deaf for good, and
    a reading that went on after its client was closed left a connection open.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_EVERY_S)
    await asyncio.gather(*tasks, return_exceptions=True)
