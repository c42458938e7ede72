"""Ctrl-C and SIGTERM at any moment of a command's start end it without a traceback, and with its exit code."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from bridge.local.redis_server import free_port
from tests.support.processes import COMMAND, clean_environment
from tests.support.waiting import PROCESS_TIMEOUT_S

STEP_S = 0.06
FEW, ALL = range(0, 12, 4), range(12)
"""The moments of a start, in steps; each test of `make test` has others of them."""
ENVIRONMENT = {"BRIDGE_GATEWAY_DEV": "1", "BRIDGE_OPS_TOKEN": "x" * 40}
COMMANDS = {"gateway": ["gateway", "--port"], "ops": ["ops", "--port"], "up": ["up", "--port"], "help": ["--help"]}


def _start(name: str, redis_url: str) -> "subprocess.Popen[str]":
    words = [*COMMANDS[name], *([] if name == "help" else [str(free_port())])]
    environment = clean_environment({"BRIDGE_BROKER_URL": redis_url, **ENVIRONMENT})
    return subprocess.Popen(
        [*COMMAND, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _wait_for_python(process: "subprocess.Popen[str]") -> None:
    """Until the interpreter has begun with what is ours; before that nobody can speak for it."""
    deadline = time.monotonic() + PROCESS_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        caught = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "SigCgt" in line)
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        if int(caught.split()[1], 16) >> (signal.SIGINT - 1) & 1 and "msgspec" in mapped:
            return
    assert process.returncode == 0, process.communicate()


@pytest.mark.parametrize("steps", [FEW, pytest.param(ALL, marks=pytest.mark.slow)], ids=["few", "all"])
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("number", "codes"), [(signal.SIGINT, {130}), (signal.SIGTERM, {0, -signal.SIGTERM})])
def test_a_signal_while_it_starts_ends_it_in_silence(
    name: str, number: signal.Signals, codes: set[int], steps: range, redis_url: str
) -> None:
    first = [*COMMANDS].index(name) if steps is FEW else 0
    for step in steps:
        process = _start(name, redis_url)
        _wait_for_python(process)
        time.sleep((first + step) * STEP_S)  # no waiting for anything: the moments of a start
        process.send_signal(number)
        output, errors = process.communicate(timeout=PROCESS_TIMEOUT_S)
        assert "Traceback" not in errors and "Warning" not in errors, (step, errors)
        # The overview may be done before the signal comes, or be ending: Python handles no more signals then, and dies
        # of it, which a shell calls 130 as well.
        done = {0, -number} if name == "help" else set()
        assert process.returncode in codes | done, (step, process.returncode, output)
