"""Pool processes that are killed just as they finish: their worker goes on, and the accounting balances."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psutil

from bridge import Emitter
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from tests.fault.load import environment_for, expect_clean, settings_for
from tests.support.counts import Counts
from tests.support.moody_catalog import attempts_of
from tests.support.timed_catalog import Lasting, registry
from tests.support.waiting import wait_until
from tests.support.worker import WorkerProcess, running_worker

APP = "tests.support.hasty_app"
REGISTRY = "tests.support.timed_catalog:registry"
LIMIT_S = 1
PROCESSES = 6
ROUNDS = 4
ENDS_S = (0.98, 1.12)
"""When the extractors end: about the limit, and as long after it as the worker is busy with killing others."""
UNHEARD = 8
SPINS_S = 0.05
HELD_UP = 3


def test_processes_killed_at_their_limit_as_they_finish(tmp_path: Path, scale: float, dice: random.Random) -> None:
    with EmbeddedServer() as server:
        settings = settings_for(server.url, task_time_limit_s=LIMIT_S, emit_batch_max=1)
        environment = environment_for(settings, tmp_path, REGISTRY)
        user = uuid4()
        emitter = Emitter(settings, registry)
        client = connect(settings)
        accepted: list[str] = []
        with running_worker(tmp_path, environment, f"--concurrency={PROCESSES}", app=APP) as worker:
            for _ in range(int(ROUNDS * max(1, scale))):
                events = [Lasting(user_id=user, lasts_s=dice.uniform(*ENDS_S), deaf=True) for _ in range(PROCESSES)]
                assert emitter.emit_many(events) == PROCESSES
                accepted += [str(event.event_id) for event in events]
                verdict = expect_clean(settings, [user], accepted, timeout_s=15)
            killed = worker.text().count("Hard time limit")
            assert worker.process.poll() is None
        print(f"{killed} processes killed at their limit: {verdict}; {Counts(client).read()}")
        assert verdict.dead == 0
        assert killed > 0
        emitter.close()
        client.close()


def test_a_worker_that_was_held_up_punishes_nobody_who_had_finished(tmp_path: Path) -> None:
    """Its timers have run out when it goes on, and the results lie unread."""
    with EmbeddedServer() as server:
        settings = settings_for(server.url, task_time_limit_s=LIMIT_S)
        user = uuid4()
        emitter = Emitter(settings, registry)
        client = connect(settings)
        with running_worker(tmp_path, environment_for(settings, tmp_path, REGISTRY)) as worker:
            pool = worker.children()
            accepted: list[str] = []
            for number in range(1, HELD_UP + 1):
                event = Lasting(user_id=user, lasts_s=0.2)
                assert emitter.emit(event)
                accepted.append(str(event.event_id))
                wait_until(_begun(tmp_path, event), what="it runs")
                _hold_up(worker, lambda number=number: Counts(client).read()["published"] == number)
            expect_clean(settings, [user], accepted, timeout_s=15)
            assert worker.children() == pool
        assert "time limit" not in worker.text()
        emitter.close()
        client.close()


def _hold_up(worker: WorkerProcess, finished: Callable[[], object]) -> None:
    """Until its process has finished, and time has run out for it."""
    worker.process.send_signal(signal.SIGSTOP)
    runs_out = time.monotonic() + LIMIT_S + 0.2
    wait_until(finished, what="the process has finished")
    wait_until(lambda: time.monotonic() > runs_out, what="time runs out")
    worker.process.send_signal(signal.SIGCONT)


def test_a_process_killed_before_its_last_word_was_heard_stops_nobody(tmp_path: Path, scale: float) -> None:
    """It leaves, and looks whether its result was read, when it is killed; the worker, busy so far, then reads it."""
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        user = uuid4()
        emitter = Emitter(settings, registry)
        client = connect(settings)
        accepted: list[str] = []
        unheard = 0
        with running_worker(tmp_path, environment_for(settings, tmp_path, REGISTRY), app=APP) as worker:
            while unheard < UNHEARD * max(1, scale):
                event = Lasting(user_id=user, lasts_s=0.1)
                assert emitter.emit(event)
                accepted.append(str(event.event_id))
                wait_until(_begun(tmp_path, event), what="the worker goes on after a kill")
                unheard += _kill_unheard(worker, lambda: Counts(client).read()["published"] == len(accepted))
            verdict = expect_clean(settings, [user], accepted, timeout_s=15)
            assert worker.process.poll() is None
        print(f"{unheard} of {len(accepted)} processes killed unheard: {verdict}")
        assert verdict.dead == 0
        emitter.close()
        client.close()


def _begun(folder: Path, event: Lasting) -> Callable[[], object]:
    return lambda: attempts_of(folder, event.event_id)


def _kill_unheard(worker: WorkerProcess, finished: Callable[[], object]) -> bool:
    """Hold up the worker while its process finishes and is told to leave; kill that as it does.

    Returns whether it had said that it finished, and so looked whether it was heard; otherwise it left at once.
    """
    [process] = psutil.Process(worker.process.pid).children()
    worker.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(finished, what="the process has finished")
        wait_until(lambda: process.status() == psutil.STATUS_SLEEPING, what="it waits for more")
        before_s = process.cpu_times().user
        process.terminate()
        wait_until(lambda: _left(process) or process.cpu_times().user > before_s + SPINS_S, what="the process leaves")
        looked = not _left(process)
        process.kill()
        return looked
    finally:
        worker.process.send_signal(signal.SIGCONT)


def _left(process: psutil.Process) -> bool:
    return process.status() == psutil.STATUS_ZOMBIE
