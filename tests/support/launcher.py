"""Starts ``python -m bridge.cli`` without its half second of imports: a process that has them forks for every command.

A command so started has its own interpreter state, environment, folder, streams and end, as one from a shell has. The
launcher itself has no thread, no client and no setting, and ends with the process that started it.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

REQUEST_BYTES_MAX = 128 * 1024
PRELOADED = (
    "bridge.cli.audit", "bridge.cli.check", "bridge.cli.dead", "bridge.cli.emit", "bridge.cli.queues",
    "bridge.cli.registry", "bridge.cli.retries", "bridge.cli.settings", "bridge.cli.status", "bridge.cli.tail",
    "bridge.cli.trace", "bridge.operations", "bridge.producer", "bridge.redis_adapter", "celery.app.base",
    "kombu.transport.pyamqp", "kombu.transport.redis", "rich.console", "rich.progress", "rich.table",
)  # fmt: skip
_FIXED_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")
"""What an interpreter reads when it begins, and a fork no more."""


class Launcher:
    """The client's side: runs commands in forks of a process of its own.

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

    def run(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], stdin: str, cwd: Path, timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``sse-bridge`` to its end; may be called from any thread.

        Raises:
            TimeoutExpired: it did not end in time, and was killed.
        """
        request = json.dumps({"arguments": arguments, "environment": dict(environment), "cwd": str(cwd)}).encode()
        answer, theirs = os.pipe()
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            given.write(stdin.encode())
            given.seek(0)
            socket.send_fds(self._socket, [request], [given.fileno(), out.fileno(), error.fileno(), theirs])
            os.close(theirs)
            with os.fdopen(answer, "rb", buffering=0) as reply:
                pid = int(_next_line(reply.fileno(), timeout_s) or 0)
                code = _next_line(reply.fileno(), timeout_s)
            if code is None:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), timeout_s)
            out.seek(0)
            error.seek(0)
            return subprocess.CompletedProcess(list(arguments), int(code), _text(out.read()), _text(error.read()))

    def close(self) -> None:
        """End the process that forks."""
        self._socket.close()
        self._process.wait()


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_FIXED_AT_START)}


def _text(content: bytes) -> str:
    return content.decode().replace("\r\n", "\n").replace("\r", "\n")  # as a pipe's text mode has it


def _next_line(reply: int, timeout_s: float) -> str | None:
    """One line of an answer; None if it does not come."""
    deadline = time.monotonic() + timeout_s
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([reply], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return None
        if not (piece := os.read(reply, 1)):
            raise AssertionError("the launcher ended in the middle of a command")
        line += piece
    return line.decode().strip()


def _serve(control: socket.socket) -> None:
    """Fork for every request; returns in the fork that is to become the command, and ends elsewhere."""
    for module in PRELOADED:
        importlib.import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the guardians
    while True:
        request, fds, _, _ = socket.recv_fds(control, REQUEST_BYTES_MAX, 4)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            _guard(json.loads(request), fds)
            return
        for fd in fds:
            os.close(fd)


def _guard(request: dict[str, object], fds: Sequence[int]) -> None:
    """Fork once more, tell how that ends, and end; returns in the second fork."""
    *streams, reply = fds
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(reply)
        _become(request, streams)
        return
    os.write(reply, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(reply, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict[str, object], streams: Sequence[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    environment, cwd = request["environment"], request["cwd"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(str(cwd))
    sys.path[0] = str(cwd)
    importlib.invalidate_caches()
    arguments = request["arguments"]
    assert isinstance(arguments, list)
    sys.argv[1:] = arguments


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("bridge.cli", run_name="__main__", alter_sys=True)
