"""kill -9 at each place where something is half done: nothing is lost, and nothing happens twice."""

import os
import random
from pathlib import Path
from uuid import uuid4

import redis

from bridge import Emitter
from bridge.embedded.server import EmbeddedServer
from bridge.store import Counts, DeadLetters, connect
from tests.fault.load import (
    USERS,
    Producing,
    environment_for,
    expect_clean,
    mixed,
    settings_for,
)
from tests.support.dying_app import PLACES
from tests.support.moody_catalog import registry
from tests.support.waiting import wait_until
from tests.support.worker import WorkerProcess, running_worker

APP = "tests.support.dying_app"
NEEDS_DEATHS_BEFORE = "message taken apart, not acknowledged"
REACHED_WITHIN_S = 30.0


def test_no_place_to_die_loses_or_doubles_an_event(tmp_path: Path, scale: float, dice: random.Random) -> None:
    with EmbeddedServer() as server:
        # Every worker dies over the same first messages, and none of these is to blame.
        settings = settings_for(server.url, delivery_max=100, visibility_timeout_s=2, task_time_limit_s=1)
        environment = environment_for(settings, tmp_path)
        users = [uuid4() for _ in range(USERS)]
        emitter = Emitter(settings, registry)
        client = connect(settings)
        junk = 0
        with Producing(emitter, 1, users, dice, mixed, pause_s=0.1) as producing:
            for number, place in enumerate(_places(scale, dice)):
                client.lpush("bridge.moods", f"junk {number}")
                junk += 1
                _die_at(place, tmp_path / f"worker-{number}.log", environment)
        assert emitter.flush(20)
        with running_worker(tmp_path, environment, app=APP):
            verdict = expect_clean(settings, users, producing.ids, producing.for_nobody)
            letters = DeadLetters(client, settings)
            wait_until(lambda: _quarantined(letters) == junk, timeout_s=30, what="each junk is one letter")
            wait_until(lambda: not client.exists("bridge.moods", "unacked"), timeout_s=30, what="all is acknowledged")
        print(f"died at {number + 1} places: {verdict}, {junk} of the dead are junk; {Counts(client).read()}")
        assert verdict.dead == len(range(0, verdict.accepted, 25)) + junk
        assert not _left_over(client)
        emitter.close()
        client.close()


def _places(scale: float, dice: random.Random) -> list[str]:
    """Each place in any order, but for the one that needs deaths before it; FAULT_PLACE chooses one."""
    if "FAULT_PLACE" in os.environ:
        return [os.environ["FAULT_PLACE"]]
    order: list[str] = []
    for _ in range(max(1, int(scale))):
        order += dice.sample(sorted(PLACES.keys() - {NEEDS_DEATHS_BEFORE}), len(PLACES) - 1)
        order.append(NEEDS_DEATHS_BEFORE)
    return order


def _die_at(place: str, log: Path, environment: dict[str, str]) -> None:
    """Run a worker until it dies at that place."""
    worker = WorkerProcess(log, {**environment, "DIE_AT": place}, app=APP)
    try:
        wait_until(
            lambda: worker.process.poll() is not None, timeout_s=REACHED_WITHIN_S, what=f"the worker dies: {place}"
        )
        assert worker.process.returncode == -9, worker.text()[-2000:]
    finally:
        worker.kill()


def _quarantined(letters: DeadLetters) -> int:
    return sum(letter.raw.startswith(b"junk") for letter in letters.newest_first())


def _left_over(client: redis.Redis) -> set[str]:
    """Books that must be empty when all is done."""
    names = ("unacked", "unacked_index", "bridge:retry:due", "bridge:retry:records")
    return {name for name in names if client.exists(name)}
