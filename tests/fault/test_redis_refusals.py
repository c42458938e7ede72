"""A Redis that answers but refuses: full again and again, its scripts forgotten all the time; nothing lost or twice."""

import random
import threading
import time
from pathlib import Path
from uuid import uuid4

import redis

from bridge import Emitter
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from tests.fault.load import (
    USERS,
    Producing,
    environment_for,
    expect_clean,
    expect_progress,
    mixed,
    settings_for,
)
from tests.support.counts import Counts
from tests.support.moody_catalog import registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

HEADROOM_BYTES = 300_000
FLUSH_EVERY_S = 0.003


def test_a_redis_that_is_full_under_load_loses_and_doubles_nothing(
    tmp_path: Path, scale: float, dice: random.Random
) -> None:
    rounds = max(2, int(2 * scale))
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        users = [uuid4() for _ in range(USERS)]
        emitter = Emitter(settings, registry)
        client = connect(settings)
        refused = 0
        with running_worker(tmp_path, environment_for(settings, tmp_path), "--concurrency=2") as worker:
            with Producing(emitter, 1, users, dice, mixed) as producing:
                for _ in range(rounds):
                    expect_progress(Counts(client))
                    before = _refusals(client)
                    client.config_set("maxmemory", client.info("memory")["used_memory"] + HEADROOM_BYTES)
                    wait_until(lambda then=before: _refusals(client) > then, what="Redis refuses")
                    time.sleep(0.2 + dice.random())
                    refused += _refusals(client) - before
                    client.config_set("maxmemory", 0)
                expect_progress(Counts(client))
            assert emitter.flush(WAIT_S)
            verdict = expect_clean(settings, users, producing.ids, producing.for_nobody)
            wait_until(lambda: not client.exists("unacked", "bridge.moods"), what="all is acknowledged")
            assert worker.process.poll() is None
        print(f"full {rounds} times, {refused} commands refused: {verdict}; {Counts(client).read()}")
        assert verdict.dead == len(range(0, verdict.accepted, 25))
        emitter.close()
        client.close()


def _refusals(client: redis.Redis) -> int:
    """How often Redis has said that it is full."""
    errors = client.info("errorstats")
    return int(errors.get("errorstat_OOM", {}).get("count", 0))


def test_scripts_that_are_forgotten_under_load_lose_and_double_nothing(
    tmp_path: Path, scale: float, dice: random.Random
) -> None:
    events = int(5_000 * scale)
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        users = [uuid4() for _ in range(USERS)]
        emitter = Emitter(settings, registry)
        client = connect(settings)
        with running_worker(tmp_path, environment_for(settings, tmp_path), "--concurrency=2") as worker:
            with _Forgetting(client) as forgetting:
                with Producing(emitter, events, users, dice, mixed) as producing:
                    expect_progress(Counts(client))
                assert emitter.flush(WAIT_S)
                verdict = expect_clean(settings, users, producing.ids, producing.for_nobody)
            wait_until(lambda: not client.exists("unacked", "bridge.moods"), what="all is acknowledged")
            assert worker.process.poll() is None
            assert "Unrecoverable" not in worker.text()
        print(f"scripts forgotten {forgetting.times} times: {verdict}; {Counts(client).read()}")
        assert verdict.dead == len(range(0, verdict.accepted, 25))
        emitter.close()
        client.close()


class _Forgetting:
    """Has Redis forget its scripts again and again, until the end of the block."""

    def __init__(self, client: redis.Redis) -> None:
        self.times = 0
        self._client = client
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ending.wait(FLUSH_EVERY_S):
            self._client.script_flush()
            self.times += 1

    def __enter__(self) -> "_Forgetting":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
