"""A message that comes back while it is still being run: it may run again, and is published once."""

import os
import random
import signal
import time
from pathlib import Path
from uuid import UUID, uuid4

from bridge import DomainEvent, Emitter
from bridge.embedded.server import EmbeddedServer
from bridge.store import Counts, connect
from tests.fault.load import Producing, environment_for, expect_clean, settings_for
from tests.support.moody_catalog import Moody, attempts_of, registry
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

APP = "tests.support.patient_app"
RUNS_FOR_S = 3.5
VISIBILITY_TIMEOUT_S = 2


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
                assert emitter.flush()
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
    freezes = max(1, int(scale))
    with EmbeddedServer() as server:
        settings = settings_for(server.url, visibility_timeout_s=VISIBILITY_TIMEOUT_S, task_time_limit_s=1)
        # About as much as two workers can do, so that each has something in its hands whenever it stands still.
        environment = {**environment_for(settings, tmp_path), "SLOW_S": "0.04"}
        users = [uuid4() for _ in range(5)]
        emitter = Emitter(settings, registry)
        client = connect(settings)
        with (
            running_worker(tmp_path, environment, "--concurrency=2", app=APP, name="a") as first,
            running_worker(tmp_path, environment, "--concurrency=2", app=APP, name="b") as second,
        ):
            with Producing(emitter, 1, users, dice, _slow, pause_s=0.3) as producing:
                for _ in range(freezes):
                    time.sleep(dice.random())
                    worker = dice.choice([first, second])
                    # The pool goes on settling what it has, or stands still with a message half done.
                    frozen = [worker.process.pid, *(worker.children() if dice.random() < 0.5 else [])]
                    for pid in frozen:
                        os.kill(pid, signal.SIGSTOP)
                    time.sleep(VISIBILITY_TIMEOUT_S + 1 + dice.random())
                    for pid in frozen:
                        os.kill(pid, signal.SIGCONT)
            assert emitter.flush(20)
            verdict = expect_clean(settings, users, producing.ids)
            wait_until(lambda: not client.exists("unacked", "bridge.moods"), timeout_s=30, what="all is acknowledged")
        counts = Counts(client).read()
        runs = sum(path.stat().st_size for path in tmp_path.iterdir() if path.name in set(producing.ids))
        print(f"{freezes} freezes: {verdict}; {runs} runs; {counts}")
        assert verdict.dead == 0
        assert runs > verdict.accepted, "nothing came back while it ran: this run shows nothing"
        assert counts["retried"] == 0
        emitter.close()
        client.close()


def _slow(user_id: UUID, number: int) -> DomainEvent:
    return Moody(user_id=user_id, number=number, mode="slow")
