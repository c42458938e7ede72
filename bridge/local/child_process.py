"""``Child``: one process that we started: its output line by line, its readiness, its orderly end."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bridge.runtime.supervision import SupervisedThread

LINE_MAX = 2000
"""Characters shown of one line of output."""
DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")


def dying_with_parent(argv: Sequence[str]) -> list[str]:
    """The command that runs ``argv`` and ends when this process does.

    The kernel watches the thread that starts it, so this works from the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        return list(argv)
    return [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), str(os.getpid()), *argv]


class Child:
    """A process in a session of its own, so that Ctrl-C in the terminal reaches us first.

    Args:
        name: for messages to people.
        argv: the command; its program is a full path.
        environment: all variables of the process.
        log: gets its name and each line that it writes.
        ready: pattern of the line by which it says that it is ready.
        grace_s: how long it may take to end.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Callable[[str, str], None],
        ready: str | None = None,
        grace_s: float = 10.0,
    ) -> None:
        self.name = name
        self._log = log
        self._ready = re.compile(ready) if ready else None
        self._grace_s = grace_s
        self.is_ready = threading.Event()
        self._process = subprocess.Popen(  # noqa: S603  (a command of ours)
            dying_with_parent(argv),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = SupervisedThread(self._read, name=f"{name}-output")
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End it and everything that it started: politely, then by force. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(self._grace_s)
            except subprocess.TimeoutExpired:
                self._log(self.name, f"did not end within {self._grace_s:g} s and is killed")
        self.kill()
        self._process.wait()
        self._reader.stop(1)

    def kill(self) -> None:
        """End it and everything that it started, by force."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101  (asked for above)
        # Not closed when writing to the log fails: the process would be ended by its next line.
        for raw in pipe:
            line = raw.decode(errors="replace").rstrip()[:LINE_MAX]
            if self._ready and self._ready.search(line):
                self.is_ready.set()
            if line:
                self._log(self.name, line)
        pipe.close()


def wait_until(condition: Callable[[], bool], timeout_s: float, interval_s: float = 0.05) -> bool:
    """Whether ``condition`` became true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval_s)
    return True
