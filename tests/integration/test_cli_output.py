"""What a command does when it cannot print: a full disk, a reader that has gone, no standard streams, few letters."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

COMMANDS = ("--help", "registry", "registry --json", "settings")
CLOSED = (">&-", "<&-", "<&- >&- 2>&-")
ENCODED = ("registry", "registry --format markdown", "check")
ENCODINGS = ("ascii", "latin-1", "koi8-r")


def sampled(some: tuple[str, ...], others: tuple[str, ...]) -> list[Any]:
    """Every pair; what is not needed for each to occur is slow."""
    return [
        pytest.param(one, other, marks=[] if (first - second) % len(others) == 0 else pytest.mark.slow)
        for (first, one), (second, other) in product(enumerate(some), enumerate(others))
    ]


def run(command: str, redirected: str) -> "subprocess.CompletedProcess[str]":
    argv = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "bridge.cli", *command.split()]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def into_a_closed_pipe(command: str, *, stderr: int) -> "subprocess.CompletedProcess[bytes]":
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-m", "bridge.cli", *command.split()]
    environment = {**os.environ, "BRIDGE_GATEWAY_DEV": "true"}
    try:
        return subprocess.run(argv, stdout=writing, stderr=stderr, env=environment, timeout=120, check=False)
    finally:
        os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_one_sentence(command: str) -> None:
    done = run(command, ">/dev/full")
    said = "Error: Not all of the output could be written: No space left on device.\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("command", [*COMMANDS, "registry --format markdown", "check", "dead --help"])
def test_a_reader_that_has_gone_ends_a_command_as_it_ends_others(command: str) -> None:
    done = into_a_closed_pipe(command, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", ["nonsense", "dead list --since x", "registry"])
def test_so_does_one_that_read_errors_as_well(command: str) -> None:
    assert into_a_closed_pipe(command, stderr=subprocess.STDOUT).returncode == 141


@pytest.mark.parametrize(("command", "encoding"), sampled(ENCODED, ENCODINGS))
def test_what_an_encoding_lacks_is_escaped(command: str, encoding: str) -> None:
    argv = [sys.executable, "-m", "bridge.cli", *command.split()]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "BRIDGE_GATEWAY_DEV": "true"}
    done = subprocess.run(argv, capture_output=True, env=environment, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("utf-8" if encoding == "ascii" else encoding)


@pytest.mark.parametrize(("command", "closed"), sampled(COMMANDS, CLOSED))
def test_a_process_without_standard_streams_does_its_work(command: str, closed: str) -> None:
    done = run(command, closed)
    assert (done.returncode, done.stderr) == (0, "")
