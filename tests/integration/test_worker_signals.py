"""A signal at any point of a worker's start ends it in order, without a traceback."""

import os
import signal
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from tests.support.processes import Process, clean_environment, start
from tests.support.waiting import wait_until

POINTS = ("init", "setup", "pool", "connect", "handler", "inside", "ready")
POOLS = ("prefork", "solo")
SIGNALS = ("SIGQUIT", "SIGTERM", "SIGINT")


WAYS = list(product(POINTS, POOLS))


@pytest.mark.parametrize("number", range(len(WAYS)), ids=lambda number: "-".join(WAYS[number]))
def test_a_signal_during_the_start_ends_the_worker(number: int, redis_url: str, tmp_path: Path) -> None:
    _assert_ends(WAYS[number], [SIGNALS[number % len(SIGNALS)]], redis_url, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_each_signal_during_the_start_ends_the_worker(way: tuple[str, str], redis_url: str, tmp_path: Path) -> None:
    _assert_ends(way, SIGNALS, redis_url, tmp_path)


def _assert_ends(way: tuple[str, str], signals: Sequence[str], redis_url: str, folder: Path) -> None:
    running = {name: _start(redis_url, *way, name, folder / name) for name in signals}
    try:
        for name, worker in running.items():
            wait_until(lambda one=worker: one.poll() is not None, what=f"a worker ends by {name}")  # type: ignore[misc]
            output = (folder / name).read_text()
            assert "Traceback" not in output and "Unrecoverable" not in output, f"{name}: {output[-2000:]}"
    finally:
        for worker in running.values():
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def _start(redis_url: str, point: str, pool: str, name: str, log: Path) -> Process:
    settings = {"BRIDGE_BROKER_URL": redis_url, "TEST_SIGNAL": name, "TEST_POINT": point}
    words = ["celery", "-A", "tests.support.signalled_app", "worker", "--pool", pool, "-n", f"{name}@%h"]
    with log.open("wb") as output:
        return start([sys.executable, "-m", *words], clean_environment(settings), output, new_session=True)
