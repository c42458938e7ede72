"""A fork as a server in C does it, without Python's hooks, at a moment at which CPython itself survives that."""

import ctypes
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

QUIET_S = 0.05
_SAYS = ("State:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")


def fork_without_hooks() -> int:
    """Fork once every other thread sleeps, and has for a moment.

    One that waits for the interpreter's lock, or is in C code that has locks of its own, is no more in the child, which
    then waits for it for good at its first switch: no code of ours runs there that could help.
    """
    while not _all_asleep():
        continue
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1_000)  # who wakes up now asks for no switch, for which the child would wait as well
    try:
        return ctypes.PyDLL(None).fork()
    finally:
        sys.setswitchinterval(interval_s)


def _all_asleep() -> bool:
    before = _others()
    time.sleep(QUIET_S)
    return before == _others() and all("S (sleeping)" in text for text in before.values())


def _others() -> dict[str, str]:
    """What the kernel says of each other thread: its state, and how often it ran."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != threading.get_native_id():
            with suppress(OSError):  # it has ended
                lines = (task / "status").read_text().splitlines()
                found[task.name] = " ".join(line for line in lines if line.startswith(_SAYS))
    return found
