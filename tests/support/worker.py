"""A real Celery worker process for a test, stopped at its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bridge import Settings
from tests.support.processes import ROOT, clean_environment, start
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until


def moody_environment(settings: Settings, folder: Path, **more: str) -> dict[str, str]:
    """Of a process with tests.support.moody_catalog on these servers, which counts its attempts in the folder."""
    return {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_REDIS_URL": settings.redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(folder),
        **more,
    }


class WorkerProcess:
    """``celery -A bridge.worker worker``, or of another app, with its log in a file."""

    def __init__(
        self,
        log: Path,
        environment: dict[str, str],
        *options: str,
        app: str = "bridge.worker",
        cwd: Path = ROOT,
        from_nothing: bool = False,
    ) -> None:
        self.log = log
        argv = [sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel=INFO", *options]
        with log.open("ab") as output:
            self.process = start(
                argv, clean_environment(environment), output, cwd=cwd, new_session=True, from_nothing=from_nothing
            )

    def wait_until_ready(self) -> None:
        wait_until(
            lambda: " ready." in self.text() or self.process.poll() is not None,
            what="the worker is ready",
        )
        assert self.process.poll() is None, self.text()

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def children(self) -> list[int]:
        """Process ids of its pool."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def ports_to(self, port: int) -> list[int]:
        """Ports from which its main process is connected to a port of this machine."""
        every = psutil.Process(self.process.pid).net_connections("tcp")
        return [one.laddr.port for one in every if one.raddr and one.raddr.port == port]

    def pause(self) -> None:
        """Let it and its pool stand still; ``resume`` lets them go on."""
        for pid in (self.process.pid, *self.children()):
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        for pid in (*self.children(), self.process.pid):
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Warm shutdown, as an operator does it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PROCESS_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"The worker did not stop:\n{self.text()[-3000:]}") from None

    def kill(self) -> None:
        """kill -9 of the whole worker, pool included."""
        victims = self.children() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def running_worker(
    folder: Path,
    environment: dict[str, str],
    *options: str,
    app: str = "bridge.worker",
    name: str = "worker",
    cwd: Path = ROOT,
    from_nothing: bool = False,
) -> Iterator[WorkerProcess]:
    """A worker that is ready; stopped warmly at the end."""
    log = folder / f"{name}.log"
    worker = WorkerProcess(log, environment, *options, app=app, cwd=cwd, from_nothing=from_nothing)
    try:
        worker.wait_until_ready()
        yield worker
        worker.stop()
    finally:
        if worker.process.poll() is None:
            worker.kill()
