"""A dry run over an event that ends its process says so in a sentence, and goes on with the others."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest

from bridge import Settings
from bridge.operations.dry_run import Expected, Predictor
from bridge.operations.trials import Ended, rehearse
from bridge.redis_adapter import PublishedEvents, connect
from tests.support.letters import a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.processes import run_cli

ENDS: dict[str, tuple[Callable[[], object], str]] = {
    "exit": (lambda: sys.exit(3), "ended with exit status 3"),
    "exit without a word": (lambda: sys.exit(), "ended with exit status 0"),
    "_exit": (lambda: os._exit(5), "ended with exit status 5"),
    "kill": (lambda: os.kill(os.getpid(), signal.SIGKILL), "was ended by SIGKILL"),
    "a crash": (lambda: os.kill(os.getpid(), signal.SIGSEGV), "was ended by SIGSEGV"),
    "abort": (os.abort, "was ended by SIGABRT"),
    "an error": (lambda: _fail(), "ended with exit status 70"),
    "no end": (lambda: time.sleep(60), "took longer than 0.3 s"),
}


def _fail() -> NoReturn:
    raise ValueError


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_the_process_ends_nothing_else(name: str) -> None:
    end, how = ENDS[name]

    def run(number: int) -> bytes:
        if number == 2:
            end()
        return str(number).encode() * 100_000

    answers = rehearse(run, range(5), limit_s=0.3)
    assert answers[2] == Ended(how)
    assert [answers[number] for number in (0, 1, 3, 4)] == [b"%d" % number * 100_000 for number in (0, 1, 3, 4)]


def test_nothing_is_asked_of_nobody() -> None:
    assert rehearse(lambda _: b"", [], limit_s=1) == []


@pytest.fixture(autouse=True)
def moody_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOODY_DIR", str(tmp_path))


@pytest.mark.parametrize("mode", ["exit", "_exit", "kill"])
def test_a_dry_run_tells_of_it_and_goes_on(settings: Settings, mode: str) -> None:
    client = connect(settings)
    letters = [a_letter(mode=mode if n == 2 else "ok", times=99, user_id=uuid4(), number=n) for n in range(6)]
    predictions = Predictor(PublishedEvents(client, settings), settings, registry).predict(letters)
    assert [one.expected for one in predictions].count(Expected.PUBLISHED) == 5
    failure = predictions[2].failure
    assert failure is not None
    assert failure.message.startswith("The event would end its worker's process: it ")
    client.close()


def test_the_command_says_it(settings: Settings, redis_url: str, tmp_path: Path) -> None:
    client = connect(settings)
    bury(client, settings, [a_letter(mode="_exit" if n == 1 else "ok", times=99) for n in range(4)])
    environment = {
        "BRIDGE_BROKER_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    done = run_cli("dead", "redrive", "--dry-run", environment=environment)
    assert done.returncode == 0, done.stderr
    assert "would end its worker's process" in " ".join(done.stdout.split())
    client.close()
