"""Waiting for something to become true, with a deadline instead of a sleep."""

import time
from collections.abc import Callable

POLL_S = 0.02
PATIENCE = 6.0
"""How many times longer than on an idle machine a thing may take before its test fails: deadlines are there to end a
test that hangs, and not to measure. The only place to change for a slower machine."""
WAIT_S = PROCESS_TIMEOUT_S = 30.0 * PATIENCE
"""For whatever a test waits for; a test states a time of its own only where the time is what it tests."""


def wait_until(condition: Callable[[], object], *, timeout_s: float = 30.0, what: str = "the condition") -> None:
    """Poll until ``condition`` is truthy.

    Args:
        condition: may be called often.
        timeout_s: enough on an idle machine; ``PATIENCE`` times as long is waited.
        what: was waited for.

    Raises:
        AssertionError: it was not within the time; names ``what``.
    """
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {timeout_s * PATIENCE:g} s: {what}")
        time.sleep(POLL_S)
