"""Running the team's code over items in a process of its own: what ends that process ends nothing else."""

import os
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TypeVar

T = TypeVar("T")

GRACE_S = 1.0
"""How long a process may take to end after its last word, and beyond the limit of an item, which it keeps itself."""
_FORK = get_context("fork")


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
    reading, writing = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_answer, args=(run, items, writing))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: one that hangs for their locks is killed
        process.start()
    writing.close()
    answers: list[bytes | Ended] = []
    timely = True
    try:
        while timely and len(answers) < len(items):
            timely = reading.poll(limit_s + GRACE_S)
            if timely:
                answers.append(reading.recv_bytes())
    except (EOFError, OSError):
        pass  # it ended
    finally:
        reading.close()
        how = _end(process)
    if len(answers) < len(items):
        answers.append(Ended(how if timely else f"took longer than {limit_s:g} s"))
    return answers


def _answer(run: Callable[[T], bytes], items: Sequence[T], writing: Connection) -> None:
    """In the other process: answer, and end without anything that belongs to this one."""
    try:
        for item in items:
            writing.send_bytes(run(item))
    except SystemExit:
        raise
    except BaseException:
        os._exit(70)  # as sysexits.h has it for an error of the program


def _end(process: BaseProcess) -> str:
    """Wait for a process, for a moment; then kill it. How it ended, in words."""
    process.join(GRACE_S)
    if process.is_alive():
        process.kill()
        process.join()
    code = process.exitcode or 0
    return f"ended with exit status {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
