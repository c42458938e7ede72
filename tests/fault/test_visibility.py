"""A message that comes back while it is still being run: it may run again, and is published once."""

import os
import random
import signal
import time
from collections.abc import Collection
from pathlib import Path
from uuid import UUID, uuid4

from bridge import DomainEvent, Emitter
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from tests.fault.load import Producing, environment_for, expect_clean, settings_for
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, attempts_of, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, running_worker

APP = "tests.support.patient_app"
RUNS_FOR_S = 3.5
VISIBILITY_TIMEOUT_S = 2
FREEZES_S_MAX = 60.0
"""For how long workers are frozen again and again until something comes back; for each freeze that was asked for."""


def test_a_long_run_in_a_living_worker_does_not_come_back(tmp_path: Path) -> None:
    """Its claims are renewed, also those of the messages that wait behind it in the same worker."""
    with EmbeddedServer() as server:
        settings = settings_for(server.url, visibility_timeout_s=VISIBILITY_TIMEOUT_S, task_time_limit_s=1)
        environment = {**environment_for(settings, tmp_path), "SLOW_S": str(RUNS_FOR_S)}
        user = uuid4()
        emitter = Emitter(settings, registry)
        client = connect(settings)
        long = [Moody(user_id=user, mode="slow") for _ in range(2)]
        with running_worker(tmp_path, environment, app=APP, name="a"):
            for event in long:
                emitter.emit(event)
                assert emitter.flush(WAIT_S)
            wait_until(lambda: client.hlen("unacked") == 2, what="both are claimed")
            with running_worker(tmp_path, environment, app=APP, name="b"):
                verdict = expect_clean(settings, [user], [str(event.event_id) for event in long], timeout_s=30)
        print(f"ran for {RUNS_FOR_S} s with a timeout of {VISIBILITY_TIMEOUT_S} s: {verdict}")
        assert [attempts_of(tmp_path, event.event_id) for event in long] == [1, 1]
        assert Counts(client).read()["duplicate"] == 0
        emitter.close()
        client.close()


def test_what_comes_back_while_it_runs_is_published_once(tmp_path: Path, scale: float, dice: random.Random) -> None:
    """A worker that stands still cannot renew its claims: others run its messages, and then it goes on with them."""
    at_least = max(1, int(scale))
    with EmbeddedServer() as server:
        settings = settings_for(server.url, visibility_timeout_s=VISIBILITY_TIMEOUT_S, task_time_limit_s=1)
        # About as much as two workers can do, so that each mostly has something in its hands when it stands still.
        environment = {**environment_for(settings, tmp_path), "SLOW_S": "0.04"}
        users = [uuid4() for _ in range(5)]
        emitter = Emitter(settings, registry)
        client = connect(settings)
        with (
            running_worker(tmp_path, environment, "--concurrency=2", app=APP, name="a") as first,
            running_worker(tmp_path, environment, "--concurrency=2", app=APP, name="b") as second,
        ):
            with Producing(emitter, 1, users, dice, _slow, pause_s=0.3) as producing:
                freezes, deadline = 0, time.monotonic() + FREEZES_S_MAX * at_least
                # One that had nothing in its hands shows nothing, and is not the last.
                while freezes < at_least or not _any_ran_twice(tmp_path, producing.ids):
                    assert time.monotonic() < deadline, f"in {freezes} freezes nothing came back while it ran"
                    time.sleep(dice.random())
                    _freeze_for_a_while(dice.choice([first, second]), dice)
                    freezes += 1
            assert emitter.flush(WAIT_S)
            verdict = expect_clean(settings, users, producing.ids)
            wait_until(lambda: not client.exists("unacked", "bridge.moods"), what="all is acknowledged")
        counts = Counts(client).read()
        runs = sum(path.stat().st_size for path in tmp_path.iterdir() if path.name in set(producing.ids))
        print(f"{freezes} freezes: {verdict}; {runs} runs; {counts}")
        assert verdict.dead == 0
        assert runs > verdict.accepted
        assert counts["retried"] == 0
        emitter.close()
        client.close()


def _freeze_for_a_while(worker: WorkerProcess, dice: random.Random) -> None:
    """Longer than its claims live. Its pool goes on settling what it has, or stands still with a message half done."""
    frozen = [worker.process.pid, *(worker.children() if dice.random() < 0.5 else [])]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(VISIBILITY_TIMEOUT_S + 1 + dice.random())
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)


def _any_ran_twice(folder: Path, event_ids: Collection[str]) -> bool:
    return any(attempts_of(folder, UUID(event_id)) > 1 for event_id in list(event_ids))


def _slow(user_id: UUID, number: int) -> DomainEvent:
    return Moody(user_id=user_id, number=number, mode="slow")
