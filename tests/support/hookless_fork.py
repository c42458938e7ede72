"""A fork as a server in C does it, without Python's hooks, at a moment at which CPython itself survives that."""

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

QUIET_S = 0.05
_SAYS = ("State:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")


def fork_without_hooks() -> int:
    """Fork while every other thread sleeps, from a moment before to a moment after.

    One that waits for the interpreter's lock, or is in C code that has locks of its own, is no more in the child, which
    then waits for it for good at its first switch: no code of ours runs there that could help. So a child that was born
    while one woke up is taken back before it has done anything.
    """
    while True:
        before = _others()
        time.sleep(QUIET_S)
        if before != _others() or not all("S (sleeping)" in text for text in before.values()):
            continue
        hears, tells = os.pipe()
        pid = _fork()
        if pid == 0:
            os.read(hears, 1)  # killed here, if it was born at the wrong moment
            os.close(hears)
            os.close(tells)
            return 0
        if before == _others():
            os.write(tells, b".")
            os.close(hears)
            os.close(tells)
            return pid
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(hears)
        os.close(tells)


def _fork() -> int:
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1_000)  # who wakes up now asks for no switch, for which the child would wait as well
    try:
        return int(ctypes.PyDLL(None).fork())
    finally:
        sys.setswitchinterval(interval_s)


def _others() -> dict[str, str]:
    """What the kernel says of each other thread: its state, and how often it ran."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != threading.get_native_id():
            with suppress(OSError):  # it has ended
                lines = (task / "status").read_text().splitlines()
                found[task.name] = " ".join(line for line in lines if line.startswith(_SAYS))
    return found
