"""``make test`` and ``.ci/run`` show all that is wrong: no suite is left out because another failed."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import LONGEST
from tests.support.waiting import PROCESS_TIMEOUT_S

ROOT = Path(__file__).parents[2]


def program(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def make_test(folder: Path, *, failing: str) -> tuple[int, list[str]]:
    """The exit code of ``make test`` and the suites that it ran, with a pytest that fails at one of them."""
    program(folder / "bin" / "python", f'echo "$*" >> {folder}/ran; case "$*" in *{failing}*) exit 1;; esac')
    (folder / "dev").touch()
    answer = subprocess.run(
        ["make", "test", f"BIN={folder}/bin", f"DEV={folder}/dev", f"CURDIR={folder}"],
        cwd=ROOT,
        capture_output=True,
        timeout=PROCESS_TIMEOUT_S,
    )
    return answer.returncode, (folder / "ran").read_text().splitlines()


@pytest.mark.parametrize("failing", ["tests/unit", "tests/integration"])
def test_make_test_runs_every_suite_although_one_fails(failing: str, tmp_path: Path) -> None:
    code, ran = make_test(tmp_path, failing=failing)
    assert code != 0
    assert ["tests/unit" in ran[0], "tests/integration" in ran[1]] == [True, True]


def test_make_test_succeeds_when_every_suite_does(tmp_path: Path) -> None:
    code, ran = make_test(tmp_path, failing="nothing")
    assert (code, len(ran)) == (0, 2)


def test_the_files_that_begin_first_are_there() -> None:
    assert set(LONGEST) <= {path.stem for path in ROOT.glob("tests/*/test_*.py")}


@pytest.mark.parametrize(("failing", "code"), [("lint", 1), ("fault", 1), ("test", 1), ("nothing", 0)])
def test_ci_runs_every_suite_although_one_fails(failing: str, code: int, tmp_path: Path) -> None:
    program(tmp_path / "make", f'echo "$1" >> {tmp_path}/ran; [ "$1" != {failing} ]')
    program(tmp_path / "id", "echo 1000")  # installs nothing
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CI_SMOKE": "no"}
    answer = subprocess.run(
        [ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True, timeout=PROCESS_TIMEOUT_S
    )
    assert answer.returncode == code
    assert (tmp_path / "ran").read_text().split() == ["lint", "fault", "test", "test-slow", "matrix", "next"]
    assert (f"ci: failed: {failing}" in answer.stdout) == bool(code)
