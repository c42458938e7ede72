"""Dead letters and retries at their bounds: the oldest letters go, counted and alarmed, and memory stays flat."""

import random
from pathlib import Path
from uuid import uuid4

import redis

from bridge import Emitter
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import DeadLetters, RetrySet, connect, read_balance
from tests.fault.load import environment_for, settings_for
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, running_worker

KEPT = 500
MEMORY_GROWTH_MAX = 1.10


def _emit(emitter: Emitter, number: int, mode: str) -> list[str]:
    ids = []
    for index in range(number):
        event = Moody(user_id=uuid4(), number=index, mode=mode, times=99)
        assert emitter.emit(event)
        ids.append(str(event.event_id))
    assert emitter.flush(WAIT_S)
    return ids


def _letters_memory(client: redis.Redis) -> int:
    """Bytes of everything that is kept of the dead."""
    return sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter(match="bridge:dead:*"))


def _bury_and_measure(client: redis.Redis, emitter: Emitter, worker: WorkerProcess, number: int) -> int:
    """Let so many events die; returns what the letters then take."""
    before = Counts(client).read()["dead"]
    _emit(emitter, number, "permanent")
    wait_until(
        lambda: Counts(client).read()["dead"] == before + number,
        what=f"{number} died; {Counts(client).read()}",
    )
    assert worker.process.poll() is None
    return _letters_memory(client)


def test_the_oldest_letters_go_and_memory_stays_flat(tmp_path: Path, scale: float, dice: random.Random) -> None:
    rounds = max(2, int(4 * scale))
    number = 1_000
    with EmbeddedServer() as server:
        settings = settings_for(server.url, dead_max=KEPT)
        emitter = Emitter(settings, registry)
        environment = environment_for(settings, tmp_path) | {"BRIDGE_DEAD_MAX": str(KEPT)}
        with running_worker(tmp_path, environment) as worker, connect(settings) as client:
            first = _bury_and_measure(client, emitter, worker, number)
            sizes = [_bury_and_measure(client, emitter, worker, number) for _ in range(rounds)]
            newest = _emit(emitter, 10, "permanent")
            letters = DeadLetters(client, settings)
            wait_until(lambda: letters.get_many([newest[-1]]), what="the newest are there")
            wait_until(lambda: not client.exists("unacked"), what="all is acknowledged")
            balance = read_balance(client)
            print(f"{rounds + 1} times {number} letters: {first} bytes first, then {sizes}; {balance}")
            assert letters.count() == KEPT
            assert letters.get_many(newest).keys() == set(newest)
            assert balance.evicted == (rounds + 1) * number + 10 - KEPT
            assert balance.balanced
            assert max(sizes) <= MEMORY_GROWTH_MAX * first
            assert "bridge.dead_letters.evicted" in worker.text()
        emitter.close()


def test_a_full_retry_set_sends_newcomers_to_the_dead_letters(tmp_path: Path, scale: float) -> None:
    number = int(2_000 * max(1.0, scale))
    with EmbeddedServer() as server:
        settings = settings_for(server.url, retry_max=KEPT)
        emitter = Emitter(settings, registry)
        environment = environment_for(settings, tmp_path) | {"BRIDGE_RETRY_MAX": str(KEPT), "BRIDGE_RETRY_BASE_S": "60"}
        with running_worker(tmp_path, environment) as worker, connect(settings) as client:
            _emit(emitter, number, "fail")
            wait_until(lambda: not read_balance(client).open, what="all were tried")
            balance = read_balance(client)
            print(f"{number} failing events: {balance}; {Counts(client).read()}")
            assert (RetrySet(client, settings).count(), balance.retrying) == (KEPT, KEPT)
            assert (balance.dead, Counts(client).read()["retry_full"]) == (number - KEPT, number - KEPT)
            assert balance.balanced
            assert "bridge.retries.full" in worker.text()
        emitter.close()
