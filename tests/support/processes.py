"""Running ``sse-bridge`` and its servers as users do: as processes, with only the environment that a test gives."""

import atexit
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TypeAlias

import psutil

from tests.support.launcher import Launcher, Started
from tests.support.waiting import PATIENCE, PROCESS_TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "bridge.cli"]

Process: TypeAlias = "subprocess.Popen[bytes] | Started"


def clean_environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without any BRIDGE_* of the developer's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **(given or {})}


@cache
def launcher() -> Launcher:
    """The one of this process; it ends with us."""
    made = Launcher(clean_environment(), ROOT)
    atexit.register(made.close)
    return made


def start(
    argv: Sequence[str],
    environment: Mapping[str, str],
    output: IO[bytes] | int,
    *,
    cwd: Path = ROOT,
    new_session: bool = False,
    from_nothing: bool = False,
) -> Process:
    """Begin a program that is given nothing to read.

    Args:
        output: for both streams.
        from_nothing: as with ``run``.
    """
    if not from_nothing and _can_be_forked(argv, environment):
        number = output if isinstance(output, int) else output.fileno()
        with Path(os.devnull).open("rb") as nothing:
            streams = [nothing.fileno(), number, number]
            return launcher().start(
                argv[1:], environment=environment, cwd=cwd, streams=streams, new_session=new_session
            )
    return subprocess.Popen(
        argv,
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=new_session,
    )


def run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdin: str = "",
    cwd: Path = ROOT,
    from_nothing: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    Args:
        from_nothing: in an interpreter that was started for it. Else ``python -m`` and ``python -c`` are forks of a
            process that has the imports, which spares half a second of them and more.
    """
    if not from_nothing and _can_be_forked(argv, environment):
        return launcher().run(argv[1:], environment=environment, stdin=stdin, cwd=cwd, timeout_s=PROCESS_TIMEOUT_S)
    return subprocess.run(
        argv, env=environment, input=stdin, cwd=cwd, capture_output=True, text=True, timeout=PROCESS_TIMEOUT_S
    )


def _can_be_forked(argv: Sequence[str], environment: Mapping[str, str]) -> bool:
    return argv[0] == sys.executable and argv[1] in ("-m", "-c") and launcher().can_run(environment)


def run_cli(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    cwd: Path = ROOT,
    from_nothing: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``sse-bridge`` to its end, as ``run`` does."""
    variables = clean_environment(environment)
    return run([*COMMAND, *arguments], variables, stdin=stdin, cwd=cwd, from_nothing=from_nothing)


class CliProcess:
    """A running ``sse-bridge`` whose output can be waited for."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        """Everything that it wrote so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str, timeout_s: float = 30) -> "re.Match[str]":
        """The first match of a pattern in the output."""
        deadline = time.monotonic() + timeout_s * PATIENCE
        while not (match := re.search(pattern, self.output, re.MULTILINE)):
            assert self.process.poll() is None, f"it ended: {self.output}"
            assert time.monotonic() < deadline, f"no {pattern!r} in: {self.output}"
            time.sleep(0.02)
        return match

    def pids(self) -> dict[str, int]:
        """Its parts by name, and what they started themselves."""
        line = self.wait_for(r"^  processes (.*)$").group(1)
        named = {name: int(pid) for name, pid in (part.split() for part in line.split(", "))}
        for name, pid in list(named.items()):
            for child in psutil.Process(pid).children(recursive=True):
                named[f"{name}-{child.pid}"] = child.pid
        return named

    def end(self, number: signal.Signals = signal.SIGINT, timeout_s: float = 25) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s * PATIENCE)


@contextmanager
def running_cli(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Iterator[CliProcess]:
    """``sse-bridge`` in the background; killed at the end if the test did not end it."""
    log = folder / f"cli-{len(list(folder.glob('cli-*')))}.log"
    with log.open("wb") as output:
        process = start([*COMMAND, *arguments], clean_environment(environment), output, cwd=cwd)
    try:
        yield CliProcess(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PROCESS_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_gone(pids: Mapping[str, int], timeout_s: float = 20) -> None:
    """Wait until no process of these is left."""
    _poll(lambda: not living(pids), timeout_s, lambda: f"still there: {living(pids)}")


def living(pids: Mapping[str, int]) -> dict[str, int]:
    """Those that are there; a zombie, which its new parent has yet to reap, is not."""
    return {name: pid for name, pid in pids.items() if _lives(pid)}


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _poll(condition: Callable[[], bool], timeout_s: float, complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.02)


def assert_sentence(answer: subprocess.CompletedProcess[str], *parts: str, code: int) -> None:
    """It failed with that code and said why in plain words."""
    assert answer.returncode == code, answer
    assert "Traceback" not in answer.stderr + answer.stdout
    for part in parts:
        assert part in answer.stderr, answer.stderr


def lines_of(names: Sequence[str], output: str) -> list[str]:
    """The names in the order in which their lines ``<name> | stops`` appear."""
    return [found for found in re.findall(r"^(\w+) +\| stops$", output, re.MULTILINE) if found in names]
