"""Waiting for something to become true, with a deadline instead of a sleep."""

import time
from collections.abc import Callable

POLL_S = 0.02


def wait_until(condition: Callable[[], object], *, timeout_s: float = 10.0, what: str = "the condition") -> None:
    """Poll until ``condition`` is truthy.

    Raises:
        AssertionError: it was not within the time; names ``what``.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {timeout_s:g} s: {what}")
        time.sleep(POLL_S)
