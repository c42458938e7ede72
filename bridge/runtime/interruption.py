"""Ctrl-C while the command ``sse-bridge`` is still being loaded, or has ended: no traceback, and its exit code."""

import os
import signal
import sys

# Imported before all else: nothing here may take time to load.

EXIT_INTERRUPTED = 130
"""Of a command that Ctrl-C ended."""

_COMMAND = "sse-bridge"
_MODULES = {"bridge.cli", "sse_bridge.cli"}
_OF_DJANGO = ("manage.py", "django-admin")


def end_at_once(_number: int, _frame: object) -> None:
    """A handler: end without unwinding what has not begun, or is done."""
    os._exit(EXIT_INTERRUPTED)


def is_command() -> bool:
    """Whether this process is ``sse-bridge``, in one of its forms; also before its module is imported.

    The others are ``python -m bridge.cli`` and ``manage.py bridge``.
    """
    given = getattr(sys, "argv", None) or [""]
    program = given[0].rpartition(os.sep)[2]
    is_djangos = program in _OF_DJANGO and given[1:2] == ["bridge"]
    return program == _COMMAND or is_djangos or (program == "-m" and not _MODULES.isdisjoint(sys.orig_argv))


def expect_interruption() -> None:
    """Have Ctrl-C end this process at once, unless it is ignored or somebody handles it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)


def raise_interruption() -> None:
    """Have Ctrl-C raise KeyboardInterrupt again, as whoever has something to put in order expects."""
    if signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
