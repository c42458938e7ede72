"""What a command does when there is nowhere to print to: a full disk, or a process without standard streams."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("--help", "registry", "registry --json", "settings")


def run(command: str, redirected: str) -> "subprocess.CompletedProcess[str]":
    argv = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "bridge.cli", *command.split()]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_one_sentence(command: str) -> None:
    done = run(command, ">/dev/full")
    said = "Error: Not all of the output could be written: No space left on device.\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("closed", [">&-", "<&-", "<&- >&- 2>&-"])
def test_a_process_without_standard_streams_does_its_work(command: str, closed: str) -> None:
    done = run(command, closed)
    assert (done.returncode, done.stderr) == (0, "")
