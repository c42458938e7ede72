"""Running the team's code over items in a process of its own: what ends that process ends nothing else."""

import os
import select
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn, TypeVar

T = TypeVar("T")

GRACE_S = 1.0
"""How long a process may take to end after its last word, and beyond the limit of an item, which it keeps itself."""
POLL_S = 0.01
_SIZE = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Ended:
    """An item over which the process ended."""

    how: str  # in words, behind "its process"


def rehearse(run: Callable[[T], bytes], items: Sequence[T], *, limit_s: float) -> list[bytes | Ended]:
    """What ``run`` answers for each item, in a forked process; another is forked for what is left when one ends.

    Args:
        run: is called in the other process: it may exit, crash or hang, and changes nothing here.
        items: in their order.
        limit_s: for one item; a process that takes longer is killed.
    """
    answers: list[bytes | Ended] = []
    while len(answers) < len(items):
        answers += _in_a_process(run, items[len(answers) :], limit_s)
    return answers


def _in_a_process(run: Callable[[T], bytes], items: Sequence[T], limit_s: float) -> list[bytes | Ended]:
    """Answers for all items, or up to the one over which the process ended."""
    reading, writing = os.pipe()
    sys.stdout.flush()  # or both would write what waits there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: one that hangs for their locks is killed
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        _answer(run, items, writing)
    os.close(writing)
    answers: list[bytes | Ended] = []
    timely = True
    try:
        while len(answers) < len(items):
            deadline = time.monotonic() + limit_s + GRACE_S
            answer = _read(reading, deadline)
            if answer is None:
                timely = time.monotonic() < deadline
                break
            answers.append(answer)
    finally:
        os.close(reading)
        how = _end(pid)
    if len(answers) < len(items):
        answers.append(Ended(how if timely else f"took longer than {limit_s:g} s"))
    return answers


def _answer(run: Callable[[T], bytes], items: Sequence[T], writing: int) -> NoReturn:
    """In the other process: answer, and end without anything that belongs to this one."""
    status = 0
    try:
        for item in items:
            answer = run(item)
            with open(writing, "wb", closefd=False) as pipe:
                pipe.write(_SIZE.pack(len(answer)) + answer)
        sys.stdout.flush()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        status = 70  # as sysexits.h has it for an error of the program
    finally:
        os._exit(status & 0xFF)


def _read(reading: int, deadline: float) -> bytes | None:
    """One answer; None if there comes none in time."""
    size = _read_exactly(reading, _SIZE.size, deadline)
    return None if size is None else _read_exactly(reading, _SIZE.unpack(size)[0], deadline)


def _read_exactly(reading: int, number: int, deadline: float) -> bytes | None:
    poll, found = select.poll(), bytearray()
    poll.register(reading, select.POLLIN)
    while len(found) < number:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        piece = os.read(reading, number - len(found))
        if not piece:
            return None
        found += piece
    return bytes(found)


def _end(pid: int) -> str:
    """Wait for a process, for a moment; then kill it. How it ended, in words."""
    deadline = time.monotonic() + GRACE_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(POLL_S)
    code = os.waitstatus_to_exitcode(status)
    return f"ended with exit status {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
