"""How soon something ordinary is done behind each of many strange things; what the machine delays is tried again."""

import os
import time
from collections.abc import Callable, Mapping

BEHIND_S = 1.0
"""Nobody stands still for longer; so what is behind is there within 2 s, the bar, and the strange thing before it."""
TRIES = 4
"""What holds others up by itself does so each time; a processor that somebody else had, does not."""
CALIBRATION_S = 0.05
"""Seconds of the processor that are spent to see how long they take."""


def slowest_s(ordinary: Callable[[str], float], strange: Mapping[str, Callable[[], object]]) -> float:
    """Do each strange thing with something ordinary behind it, and judge how long that took.

    Args:
        ordinary: does it, and returns how long it took, in s; raises when it is not done at all. Told the name.
        strange: does it, by name.

    Returns:
        The longest of all, as it took.

    Raises:
        AssertionError: behind one it took longer than ``BEHIND_S`` again and again; names it.
    """
    worst = 0.0
    for name, do in strange.items():
        took_s: list[float] = []
        for _ in range(TRIES):
            do()
            took_s.append(ordinary(name))
            if took_s[-1] <= BEHIND_S or took_s[-1] / busyness() <= BEHIND_S:
                break
        else:
            raise AssertionError(f"behind {name}: {took_s} s")
        worst = max(worst, min(took_s))
    return worst


def busyness() -> float:
    """How many times longer than on an idle machine the processor's work takes; 1 or more."""
    begun, spent_until = time.monotonic(), time.process_time() + CALIBRATION_S
    while time.process_time() < spent_until:
        sum(range(1_000))
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)  # of the last minute, which a look at one moment may miss
    return max(1.0, waiting, (time.monotonic() - begun) / CALIBRATION_S)
