"""Become another program that ends when its parent does; a script of its own, which imports nothing of bridge.

Called as ``die_with_parent.py <parent pid> <program> <arguments...>``. On Linux the kernel sends SIGTERM when the
parent is gone, even by kill -9; elsewhere the program outlives it.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, then become the program."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(1)  # it was gone before the kernel was asked
    os.execv(program[0], program)  # noqa: S606  (a program that our parent named)


if __name__ == "__main__":
    main(sys.argv[1:])
