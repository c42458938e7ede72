"""``LocalStack``: server, worker and gateway as processes on this machine; started, watched and stopped together."""

import http.client
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol, Self

from bridge.local.child_process import Child, wait_until
from bridge.local.redis_server import EmbeddedServer, is_taken, password_for
from bridge.model.errors import BridgeError
from bridge.settings import DECLARATIONS, PREFIX, Settings, environment_name
from bridge.settings.urls import shown_url

START_TIMEOUT_S = 30.0
WATCH_INTERVAL_S = 0.1
WORKER_GRACE_S = 15.0
WORKER = ("-A", "sse_bridge.worker", "worker")
"""To ``celery``, what a worker of ours is."""
ROOT_WARNING = "You're running the worker with superuser privileges"

Log = Callable[[str, str], None]


class LocalStackError(BridgeError):
    """A part of the bridge did not start, or ended by itself."""


class _Part(Protocol):
    name: str

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""

    def exit_code(self) -> int | None:
        """How it ended: below 0 by that signal; None while it runs."""

    def stop(self) -> None:
        """Ask it to end, and wait; kill it when its grace is over. Idempotent."""

    def kill(self) -> None:
        """End it at once, without a wait."""


class LocalStack:
    """Parts that run together: if one ends, all end; they stop in the reverse order of their start.

    Use it as a context manager; leaving it stops everything. ``log`` gets the name of a part and a line that it wrote.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._parts: list[_Part] = []
        self._asked: signal.Signals | None = None

    # Parts

    def add_server(self, *, port: int | None = None, folder: Path | None = None) -> EmbeddedServer:
        """Start an embedded server, with a password: others on this machine reach loopback, too.

        Raises:
            ServerError: it does not start.
            MissingExtraError: there is none.
        """
        server = EmbeddedServer(port=port, folder=folder, password=password_for(folder))
        server.start()
        self._parts.append(server)
        self._log(server.name, f"listens on {shown_url(server.url)}")
        return server

    def add_worker(self, settings: Settings, **more: str) -> Child:
        """Start a Celery worker, with more variables in its environment."""
        # In a container every process is root. Celery warns because of pickle, which this worker never reads.
        argv = [f"-Wignore:{ROOT_WARNING}", "-m", "celery", "--quiet", *WORKER, "--loglevel", "INFO"]
        return self.add("worker", argv, settings, ready=r" ready\.$", grace_s=WORKER_GRACE_S, **more)

    def add_gateway(self, settings: Settings) -> Child:
        """Start the gateway."""
        return self.add("gateway", ["-m", "sse_bridge.cli", "gateway"], settings)

    def add(
        self,
        name: str,
        argv: list[str],
        settings: Settings,
        *,
        ready: str | None = None,
        grace_s: float = 10.0,
        **more: str,
    ) -> Child:
        """Start a Python process that gets ``settings`` by its environment."""
        child = Child(
            name,
            [sys.executable, *argv],
            environment={**_environment_with(settings), **more},
            log=self._log,
            ready=ready,
            grace_s=grace_s,
        )
        self._parts.append(child)
        return child

    def end(self, part: Child, *, kill: bool = False) -> None:
        """End one part, while the others go on."""
        if kill:
            part.kill()
        part.stop()
        self._parts.remove(part)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {part.name: part.pid for part in self._parts if part.pid is not None}

    # Life

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> bool:
        """Wait until a condition holds; False if we were asked to stop meanwhile.

        Raises:
            LocalStackError: a part ended, or the condition did not hold in time.
        """

        def settled() -> bool:
            """Whether there is nothing more to wait for; raises if a part ended."""
            self._raise_if_one_ended()
            return self._asked is not None or condition()

        if not wait_until(settled, timeout_s):
            raise LocalStackError(f"{what} was not ready within {timeout_s:g} s; its log above says why.")
        return self._asked is None

    def watch(self) -> signal.Signals | None:
        """Wait until we are asked to stop; the signal that asked.

        Raises:
            LocalStackError: a part ended by itself.
        """
        while self._asked is None:
            self._raise_if_one_ended()
            threading.Event().wait(WATCH_INTERVAL_S)
        return self._asked

    def stop(self) -> None:
        """Stop every part, the last started first. Idempotent."""
        while self._parts:
            part = self._parts[-1]
            self._log(part.name, "stops")
            part.stop()
            self._parts.pop()

    def _raise_if_one_ended(self) -> None:
        for part in self._parts:
            code = part.exit_code()
            if code is not None:
                how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
                raise LocalStackError(f"The {part.name} ended {how}; everything else is stopped.")

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self._asked is not None:
            for part in self._parts:  # asked twice: do not wait any longer
                part.kill()
        self._asked = signal.Signals(number)

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.stop()
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)


def is_live(host: str, port: int) -> bool:
    """Whether a gateway answers there."""
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that is in use before anything is started.

    Raises:
        LocalStackError: it is.
    """
    if is_taken(port, host):
        raise LocalStackError(f"Port {port} is in use. Stop what listens there, or choose another with --port.")


def environment_of(settings: Settings) -> dict[str, str]:
    """The BRIDGE_* variables that ``load_settings`` reads as these settings, whatever a project's settings.py says."""
    values = {name: getattr(settings, name) for name in DECLARATIONS}
    return {
        environment_name(name): str(int(value) if isinstance(value, bool) else value) for name, value in values.items()
    }


def become_worker(settings: Settings, options: Sequence[str]) -> NoReturn:
    """Go on as a Celery worker: with this process' id, folder and streams, and the settings in its environment.

    Args:
        settings: of the worker.
        options: of ``celery worker``.
    """
    argv = [sys.executable, "-m", "celery", *WORKER, *options]
    os.execve(sys.executable, argv, _environment_with(settings))  # noqa: S606  (a command of ours)


def _environment_with(settings: Settings) -> dict[str, str]:
    """Everything of ours, these settings, and a search path on which a child finds what we find."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    found = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return {**kept, **found, **environment_of(settings)}
