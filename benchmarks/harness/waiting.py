"""Waiting for something to become true, with a deadline."""

import time
from collections.abc import Callable

POLL_FIRST_S = 0.002
POLL_SHARE = 0.01
"""A poll costs the machine something: wait at least this share of the time waited so far."""


class TooSlowError(Exception):
    """It did not happen in time."""


def wait_until(condition: Callable[[], object], *, timeout_s: float, what: str) -> int:
    """Poll until ``condition`` is truthy; returns the monotonic time in ns at which it was seen to be.

    Raises:
        TooSlowError: it was not within the time; names ``what``.
    """
    started = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - started
        if waited_s > timeout_s:
            raise TooSlowError(f"Not within {timeout_s:g} s: {what}")
        time.sleep(max(POLL_FIRST_S, POLL_SHARE * waited_s))
    return time.monotonic_ns()
