"""The measured processes: workers and producers, started clean, watched from outside, stopped at the end."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.peers import Peer

ROOT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 15.0


class MeasurementError(Exception):
    """A measured process did not do its work; says which, and its last words."""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without settings of the person who runs the benchmarks."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **given}


class Processes:
    """Some processes and all that they started."""

    def __init__(self, commands: Sequence[Sequence[str]], given: Mapping[str, str]) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (stop closes it)
        self._started = [
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(given),
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
            for command in commands
        ]

    def check(self) -> None:
        """See that all live.

        Raises:
            MeasurementError: one has ended.
        """
        for process in self._started:
            if process.poll() is not None:
                raise MeasurementError(f"A worker ended with {process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of their log."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]

    def cpu_s(self) -> float:
        """Processor time that all of them have used."""
        return sum(sum(process.cpu_times()[:2]) for process in self.family())

    def pss_bytes(self) -> int:
        """Memory of all of them, shared pages divided among those who share."""
        return sum(process.memory_full_info().pss for process in self.family())

    def family(self) -> list[psutil.Process]:
        """All that live."""
        parents = [psutil.Process(process.pid) for process in self._started if process.poll() is None]
        return [one for parent in parents for one in (parent, *parent.children(recursive=True))]

    def stop(self) -> None:
        """End them, warmly if they let us."""
        family = self.family()
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._started:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for left in family:
            if left.is_running() and left.status() != psutil.STATUS_ZOMBIE:
                left.kill()
        self._log.close()


@contextmanager
def running_workers(peer: Peer, processes: int, given: Mapping[str, str]) -> Iterator[Processes]:
    """The workers of a peer."""
    workers = Processes(peer.commands(processes), {**given, **peer.environment})
    try:
        yield workers
    finally:
        workers.stop()


class Reporter:
    """A process that reports in lines of JSON and may wait for our sign."""

    def __init__(self, command: Sequence[str], given: Mapping[str, str]) -> None:
        self._name = " ".join(command[1:4])
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (stop closes it)
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(given),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )

    def expect(self) -> dict[str, Any]:
        """What it says next.

        Raises:
            MeasurementError: it ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            words = self._log.read().decode(errors="replace")[-2000:]
            raise MeasurementError(f"{self._name} ended with {self._process.returncode}: {words}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def sign(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            try:
                self._process.communicate(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        self._log.close()


@contextmanager
def running_producer(peer: Peer, given: Mapping[str, str], *arguments: str) -> Iterator[Reporter]:
    """A producer of a peer; see ``benchmarks.harness.producing``."""
    command = [peer.python, "-m", "benchmarks.harness.producing", peer.module, *arguments]
    producer = Reporter(command, {**given, **peer.environment})
    try:
        yield producer
    finally:
        producer.stop()
