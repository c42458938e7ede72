"""Commands as a person runs them: in a terminal of their own, with colours, answers to questions, and Ctrl-C."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from select import select

import psutil

from tests.support.waiting import PATIENCE, PROCESS_TIMEOUT_S, wait_until

COLUMNS, LINES = 150, 50
TIMEOUT_S = 30.0
_OWN_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What came of a command.

    Attributes:
        code: exit code.
        text: all that the terminal was sent.
        moments: the text so far each time that something was typed.
    """

    code: int
    text: str
    moments: tuple[str, ...] = ()


def run_in_terminal(
    command: str, *, environment: Mapping[str, str], folder: Path, typed: Sequence[tuple[str, str]] = ()
) -> Session:
    """Run a shell command to its end.

    Args:
        command: for bash.
        environment: all of it.
        folder: to run it in.
        typed: patterns to wait for, with what is typed when they appear; \x03 is Ctrl-C.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _OWN_TERMINAL, "bash", "-c", command],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm-256color"}, cwd=folder,
    )  # fmt: skip
    os.close(theirs)
    try:
        text, moments = _converse(ours, list(typed), command, process.pid)
        return Session(code=process.wait(PROCESS_TIMEOUT_S), text=text, moments=moments)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def _converse(terminal: int, typed: list[tuple[str, str]], command: str, pid: int) -> tuple[str, tuple[str, ...]]:
    """Read to the end, typing on the way."""
    taken = b""
    moments: list[str] = []
    deadline = time.monotonic() + TIMEOUT_S * PATIENCE
    while select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            taken += os.read(terminal, 65_536)
        except OSError:  # Linux says so when the last process has closed its end
            return taken.decode(), tuple(moments)
        text = taken.decode(errors="ignore")
        if typed and re.search(typed[0][0], text):
            moments.append(text)
            wait_until(lambda: _sleeps(pid), what=f"{command} waits for a key")
            os.write(terminal, typed.pop(0)[1].encode())
    raise AssertionError(f"{command} did not end: {taken.decode(errors='replace')}")


def _sleeps(pid: int) -> bool:
    """Whether all that runs there waits, or is gone.

    Nobody presses Ctrl-C within the microseconds between a question and the reading of its answer. A test does, and
    Python's ``input`` then notes the signal, and looks at it when the next key is pressed.
    """
    try:
        process = psutil.Process(pid)
        return all(one.status() == psutil.STATUS_SLEEPING for one in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return True


def screen(text: str) -> list[str]:
    """The lines that a terminal shows after that text, with their colours; lines are cleared whole or not at all."""
    lines, row, at = [""], 0, 0
    for found in _CONTROL.finditer(text):
        lines[row] += text[at : found.start()]
        at = found.end()
        match found[0]:
            case "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            case "\x1b[1A":
                row -= 1
            case "\x1b[2K":
                lines[row] = ""
            case style if _STYLE.fullmatch(style):
                lines[row] += style
    lines[row] += text[at:]
    return lines


def plain(lines: Sequence[str]) -> str:
    """Without colours and trailing blanks."""
    return "\n".join(_STYLE.sub("", line).rstrip() for line in lines).strip("\n")
