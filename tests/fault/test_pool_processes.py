"""Pool processes that die, exit, run out of memory or hang: their event is tried again alone, the others go on."""

import os
import random
import signal
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bridge import DomainEvent, Emitter
from bridge.local.redis_server import EmbeddedServer
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, connect
from tests.fault.load import USERS, Producing, environment_for, expect_clean, settings_for
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, running_worker

MODES = ("kill", "exit", "_exit", "greedy", "hang", "stubborn")
FOR_GOOD = 99
DEATHS = 12
REPLACED_WITHIN_S = 2.0
EVENTS_EACH = 100
"""Harmless events for each poison one."""


def _poison(users: list[UUID], dice: random.Random) -> list[Moody]:
    """Each way to die twice: once, and again and again."""
    events = [
        Moody(user_id=dice.choice(users), mode=mode, times=times) for mode, times in product(MODES, (1, FOR_GOOD))
    ]
    dice.shuffle(events)
    return events


def _with_poison_among(poison: list[Moody], apart: int) -> Callable[[UUID, int], DomainEvent]:
    """Harmless events, with a poison one each ``apart`` numbers until none is left."""
    waiting = list(poison)

    def make(user_id: UUID, number: int) -> DomainEvent:
        if number % apart == 0 and waiting:
            return waiting.pop()
        return Moody(user_id=user_id, number=number)

    return make


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_a_pool_process_takes_nobody_with_it(
    servers: tuple[str, str], tmp_path: Path, scale: float, dice: random.Random
) -> None:
    settings = settings_for(*servers)
    users = [uuid4() for _ in range(USERS)]
    poison = [event for _ in range(max(1, int(scale))) for event in _poison(users, dice)]
    emitter = Emitter(settings, registry)
    client = connect(settings)
    with running_worker(tmp_path, environment_for(settings, tmp_path), "--concurrency=2") as worker:
        make = _with_poison_among(poison, EVENTS_EACH)
        with Producing(emitter, EVENTS_EACH * len(poison), users, dice, make) as producing:
            pass
        assert emitter.flush(WAIT_S)
        begin = time.monotonic()
        verdict = expect_clean(settings, users, producing.ids, timeout_s=30 + 30 * scale)
        wait_until(lambda: not client.exists("unacked"), what="all is acknowledged")
        assert worker.process.poll() is None
        wait_until(lambda: len(worker.children()) == 2, what="the pool is whole again")
    dead = {letter.letter_id for letter in every_letter(DeadLetters(client, settings))}
    print(f"{len(poison)} deadly: {verdict}; {time.monotonic() - begin:.1f} s after the last; {Counts(client).read()}")
    assert dead == {str(event.event_id) for event in poison if event.times == FOR_GOOD}
    emitter.close()
    client.close()


def test_pool_processes_that_the_system_kills_at_random_cost_nothing(
    tmp_path: Path, scale: float, dice: random.Random
) -> None:
    """What the kernel does when memory runs out: SIGKILL to a process of the pool, whatever it is doing."""
    kills = max(20, int(20 * scale))
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        users = [uuid4() for _ in range(USERS)]
        emitter = Emitter(settings, registry)
        client = connect(settings)
        with running_worker(tmp_path, environment_for(settings, tmp_path), "--concurrency=2") as worker:
            with Producing(emitter, 1, users, dice) as producing:
                for _ in range(kills):
                    time.sleep(dice.random() * 0.3)
                    _kill_one(worker.children(), dice)
            assert emitter.flush(WAIT_S)
            verdict = expect_clean(settings, users, producing.ids)
            assert worker.process.poll() is None
            assert verdict.dead == 0
        print(f"{kills} pool processes killed: {verdict}; {Counts(client).read()}")
        emitter.close()
        client.close()


def test_a_pool_process_that_died_is_replaced_at_once(tmp_path: Path, scale: float) -> None:
    """Celery overlooks one in four ends, for 5 s: the process has closed its files, and cannot be reaped yet."""
    slowest_s = 0.0
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        with running_worker(tmp_path, environment_for(settings, tmp_path), "--concurrency=2") as worker:
            for _ in range(int(DEATHS * max(1, scale))):
                before = worker.children()
                os.kill(before[0], signal.SIGKILL)
                begin = time.monotonic()
                wait_until(lambda before=before: _replaced(worker, before), what="the pool is whole again")
                slowest_s = max(slowest_s, time.monotonic() - begin)
    print(f"replaced within {slowest_s:.2f} s")
    assert slowest_s < REPLACED_WITHIN_S


def _replaced(worker: WorkerProcess, before: list[int]) -> bool:
    now = worker.children()
    return before[0] not in now and len(now) == len(before)


def _kill_one(pids: list[int], dice: random.Random) -> None:
    if pids:
        try:
            os.kill(dice.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return
