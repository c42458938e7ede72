"""The pool's real processes, as their worker stops in the moment in which it hands out a job."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kombu.asynchronous import Hub

from bridge.celery_runtime import prefork
from bridge.celery_runtime.prefork import Pool
from tests.support.waiting import PATIENCE, WAIT_S

DEADLINE_S = 10.0
ENDS_WITHIN_S = 20.0
"""Below the 30 s for which a process waits that its results are read."""

given = pytest.mark.parametrize("load", [b"", bytes(4 * 2**20)], ids=["whole", "in part"])
"""How much of a job its process has: a load larger than the pipe cannot be written in one go."""


class Looping:
    """A pool of one process in an event loop that turns only when it is told to."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.pool = Pool(processes=1, synack=False, threads=False, sched_strategy="fair")
        self.pool.register_with_event_loop(self.hub)
        self._loop = self.hub.create_loop()
        self.hub.call_repeatedly(0.01, lambda: None)  # no turn waits longer
        self.turn_until(lambda: bool(self.pool._all_inqueues))

    def turn_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S * PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            next(self._loop)

    def give(self, seconds: float, load: bytes = b"") -> Any:
        """Hand out a job that takes so long, and look at nothing that its process says."""
        job = self.pool.apply_async(_work, (seconds, load))
        self.turn_until(lambda: job._write_to is not None)
        assert not job._accepted
        return job

    def lose_broker(self) -> None:
        """What a worker does with its pool when it has lost its broker."""
        self.hub.reset()
        self.pool.flush()
        self.pool.register_with_event_loop(self.hub)
        self._loop = self.hub.create_loop()

    def stop(self) -> float:
        """Stop as a worker does; how many seconds that took."""
        began = time.monotonic()
        self.pool.close()
        self.pool.flush()
        self.pool.join()
        return time.monotonic() - began

    @property
    def process(self) -> int:
        """The id of its process."""
        return int(self.pool._pool[0].pid)

    def end(self) -> None:
        """End at once, whatever its process does."""
        for process in self.pool._pool:
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
        self.pool.terminate()
        self.pool.join()
        self.hub.close()


def _work(seconds: float, load: bytes) -> int:
    time.sleep(seconds)
    return len(load)


@pytest.fixture
def looping() -> Iterator[Looping]:
    looping = Looping()
    yield looping
    looping.end()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process gets its time to begin, however busy the machine is."""
    monkeypatch.setattr(prefork, "BEGINS_WITHIN_S", ENDS_WITHIN_S)


@given
@pytest.mark.usefixtures("patient")
def test_a_job_that_a_process_has_is_finished_and_its_end_is_read(looping: Looping, load: bytes) -> None:
    job = looping.give(0.3, load)
    assert looping.stop() < ENDS_WITHIN_S
    assert job.ready()
    assert job.get() == len(load)


@given
@pytest.mark.usefixtures("patient")
def test_a_worker_that_lost_its_broker_keeps_the_job_that_a_process_has(looping: Looping, load: bytes) -> None:
    job = looping.give(0.3, load)
    looping.lose_broker()
    looping.turn_until(job.ready)
    assert job.get() == len(load)


def test_a_job_that_no_process_has_is_given_up(looping: Looping) -> None:
    running = looping.give(0.3)
    waiting = looping.pool.apply_async(_work, (0, b""))
    looping.pool.flush()
    assert waiting._job not in looping.pool._cache
    assert running._job in looping.pool._cache


def test_a_process_that_does_not_begin_is_not_waited_for(looping: Looping) -> None:
    os.kill(looping.process, signal.SIGSTOP)
    job = looping.give(0)
    began = time.monotonic()
    looping.pool.flush()
    assert time.monotonic() - began < ENDS_WITHIN_S * PATIENCE
    assert job._job not in looping.pool._cache


def test_a_process_that_died_is_not_waited_for(looping: Looping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefork, "BEGINS_WITHIN_S", WAIT_S)
    os.kill(looping.process, signal.SIGSTOP)
    looping.give(0)
    os.kill(looping.process, signal.SIGKILL)
    began = time.monotonic()
    looping.pool.flush()
    assert time.monotonic() - began < WAIT_S / 2
