"""A real Celery worker process for a test, stopped at its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class WorkerProcess:
    """``celery -A bridge.worker worker``, or of another app, with its log in a file."""

    def __init__(
        self, log: Path, environment: dict[str, str], *options: str, app: str = "bridge.worker", cwd: Path = ROOT
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel=INFO", *options],
                cwd=cwd,
                env={**clean_environment(), **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        wait_until(
            lambda: " ready." in self.text() or self.process.poll() is not None,
            timeout_s=START_TIMEOUT_S,
            what="the worker is ready",
        )
        assert self.process.poll() is None, self.text()

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def children(self) -> list[int]:
        """Process ids of its pool."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

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
) -> Iterator[WorkerProcess]:
    """A worker that is ready; stopped warmly at the end."""
    worker = WorkerProcess(folder / f"{name}.log", environment, *options, app=app, cwd=cwd)
    try:
        worker.wait_until_ready()
        yield worker
        worker.stop()
    finally:
        if worker.process.poll() is None:
            worker.kill()


def clean_environment() -> dict[str, str]:
    """This process's environment without BRIDGE_* settings of the person who runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
