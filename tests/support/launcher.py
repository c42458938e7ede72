"""Starts ``python`` on code of ours without its second of imports: a process that has them forks for each.

A command so started has its own interpreter state, environment, folder, streams and end, as one from a shell has. The
launcher itself has no thread, no client and no setting, and ends with the process that started it.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bridge

REQUEST_BYTES_MAX = 128 * 1024
PRELOADED = (
    "anyio._backends._asyncio", "celery.app.amqp", "celery.app.control", "celery.app.events", "celery.app.log",
    "celery.apps.worker", "celery.backends.base", "celery.bin.celery", "celery.concurrency.prefork",
    "celery.concurrency.solo", "celery.concurrency.thread", "celery.fixups.django", "celery.worker.autoscale",
    "celery.worker.strategy", "kombu.transport.pyamqp", "rich.console", "rich.progress", "rich.table",
    "uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.main", "uvicorn.protocols.http.auto",
)  # fmt: skip
"""What the bridge's own modules import when they run."""
RUN_BY_IMPORT = ("__main__", "configured_app")
"""Those of the bridge's modules that read the environment when they are imported."""
DJANGO = "bridge.contrib.django"
"""Of it Django itself imports what it needs, in its own order."""
_FIXED_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")
"""What an interpreter reads when it begins, and a fork no more."""


class Started:
    """A command that runs, or has: what ``subprocess.Popen`` says of one."""

    def __init__(self, pid: int, answer: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._answer = answer

    def poll(self) -> int | None:
        """The exit code, once there is one."""
        return self._heard(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code.

        Raises:
            TimeoutExpired: there is none within so many seconds.
        """
        code = self._heard(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Nothing, once it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _heard(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and (line := _next_line(self._answer, timeout_s)) is not None:
            self.returncode = int(line)
            os.close(self._answer)
        return self.returncode


class Launcher:
    """The client's side: runs commands in forks of a process of its own. May be called from any thread.

    Args:
        environment: of the process that forks.
    """

    def __init__(self, environment: Mapping[str, str], cwd: Path) -> None:
        self._environment = dict(environment)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env=self._environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Whether a fork would see all of this environment."""
        return _read_at_start(environment) == _read_at_start(self._environment)

    def start(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        streams: Sequence[int],
        new_session: bool = False,
    ) -> Started:
        """Begin ``python`` with these words.

        Args:
            words: ``-m`` and a module, or ``-c`` and a program, and its arguments.
            streams: file descriptors of its three.
        """
        asked = {"words": list(words), "environment": dict(environment), "cwd": str(cwd), "new_session": new_session}
        answer, theirs = os.pipe()
        try:
            socket.send_fds(self._socket, [json.dumps(asked).encode()], [*streams, theirs])
        finally:
            os.close(theirs)
        return Started(int(_next_line(answer, None) or 0), answer)

    def run(
        self, words: Sequence[str], *, environment: Mapping[str, str], stdin: str, cwd: Path, timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``python`` with these words to its end.

        Raises:
            TimeoutExpired: it did not end in time, and was killed.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            given.write(stdin.encode())
            given.seek(0)
            streams = [file.fileno() for file in (given, out, error)]
            started = self.start(words, environment=environment, cwd=cwd, streams=streams)
            try:
                code = started.wait(timeout_s)
            finally:
                started.kill()
            out.seek(0)
            error.seek(0)
            return subprocess.CompletedProcess(list(words), code, _text(out.read()), _text(error.read()))

    def close(self) -> None:
        """End the process that forks."""
        self._socket.close()
        self._process.wait()


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_FIXED_AT_START)}


def _text(content: bytes) -> str:
    return content.decode().replace("\r\n", "\n").replace("\r", "\n")  # as a pipe's text mode has it


def _next_line(answer: int, timeout_s: float | None) -> str | None:
    """One line of an answer; None if it does not come."""
    readable, _, _ = select.select([answer], [], [], timeout_s)
    if not readable:
        return None
    line = b""
    while not line.endswith(b"\n"):
        if not (piece := os.read(answer, 1)):
            raise AssertionError("the launcher ended in the middle of a command")
        line += piece
    return line.decode().strip()


def _serve(control: socket.socket) -> dict[str, Any]:
    """Fork for every request; returns it in the fork that is to become the command, and ends elsewhere."""
    ours = (module.name for module in pkgutil.walk_packages(bridge.__path__, "bridge."))
    for module in (
        *PRELOADED,
        *(name for name in ours if not (name.startswith(DJANGO) or name.endswith(RUN_BY_IMPORT))),
    ):
        importlib.import_module(module)
    gc.freeze()
    guardians: list[int] = []
    while True:
        request, fds, _, _ = socket.recv_fds(control, REQUEST_BYTES_MAX, 4)
        # Waited for, so that the time of a command is counted as the tests' own.
        guardians = [pid for pid in guardians if os.waitpid(pid, os.WNOHANG) == (0, 0)]
        if not request:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            control.close()
            asked: dict[str, Any] = json.loads(request)
            _guard(asked, fds)
            return asked
        guardians.append(pid)
        for fd in fds:
            os.close(fd)


def _guard(asked: Mapping[str, Any], fds: Sequence[int]) -> None:
    """Fork once more, tell how that ends, and end; returns in the second fork."""
    *streams, answer = fds
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        _become(asked, streams)
        return
    for stream in streams:
        os.close(stream)
    os.write(answer, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(answer, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(asked: Mapping[str, Any], streams: Sequence[int]) -> None:
    if asked["new_session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    os.chdir(asked["cwd"])
    sys.path[0] = asked["cwd"]
    importlib.invalidate_caches()


def _run_and_end(words: Sequence[str]) -> None:
    """Run, and end as the interpreter does; but without taking it to pieces, which would copy what the forks share.

    Whatever is out of the ordinary is raised, for the interpreter to end with.
    """
    code: object = None
    try:
        _run(words)
    except SystemExit as ended:
        code = ended.code
    if not isinstance(code, int | None):
        sys.exit(code)  # type: ignore[arg-type]
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            if not stream.closed:
                stream.flush()
    except OSError:
        sys.exit(code)
    os._exit((code or 0) & 0xFF)


def _run(words: Sequence[str]) -> None:
    """As the interpreter does with these words."""
    kind, what, *arguments = words
    sys.argv[:] = [kind, *arguments]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(what, "<string>", "exec"), vars(main))


if __name__ == "__main__":
    _run_and_end(_serve(socket.socket(fileno=int(sys.argv[1])))["words"])
