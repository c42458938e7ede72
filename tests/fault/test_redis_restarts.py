"""Redis killed, restarted and frozen under load: nothing lost, nothing twice, and the same worker goes on in time."""

import os
import random
import signal
import time
from pathlib import Path
from uuid import uuid4

from bridge import Emitter
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.redis_adapter import connect
from tests.fault.load import USERS, Producing, environment_for, expect_progress, settings_for
from tests.fault.oracle import judge
from tests.support.counts import Counts
from tests.support.moody_catalog import registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

BACK_WITHIN_S = 5.0


def test_restarts_of_redis_lose_and_double_nothing(tmp_path: Path, scale: float, dice: random.Random) -> None:
    restarts = max(3, int(3 * scale))
    server = EmbeddedServer(port=free_port(), folder=tmp_path / "redis").start()
    settings = settings_for(server.url)
    users = [uuid4() for _ in range(USERS)]
    emitter = Emitter(settings, registry)
    client = connect(settings)
    counts = Counts(client)
    slowest_s = 0.0
    try:
        with running_worker(tmp_path, environment_for(settings, tmp_path), "--concurrency=2") as worker:
            with Producing(emitter, 1, users, dice) as producing:
                for _ in range(restarts):
                    time.sleep(0.3 + dice.random())
                    server.kill()
                    time.sleep(dice.random())
                    server.start()
                    slowest_s = max(slowest_s, expect_progress(counts))
            assert emitter.flush(WAIT_S)
            wait_until(lambda: judge(client, settings, users, producing.ids).clean, what="all is accounted for")
            assert worker.process.poll() is None
        verdict = judge(client, settings, users, producing.ids)
        print(f"{restarts} restarts: {verdict}; consuming again within {slowest_s:.1f} s; {counts.read()}")
        assert verdict.clean
        assert slowest_s < BACK_WITHIN_S
    finally:
        emitter.close(0)
        client.close()
        server.stop()


def test_a_redis_that_freezes_delays_and_loses_nothing(tmp_path: Path, scale: float, dice: random.Random) -> None:
    freezes_s = (1.0, min(30.0, 8.0 * scale))
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        users = [uuid4() for _ in range(USERS)]
        emitter = Emitter(settings, registry)
        with running_worker(tmp_path, environment_for(settings, tmp_path)) as worker:
            with Producing(emitter, 3_000, users, dice) as producing:
                for freeze_s in freezes_s:
                    time.sleep(0.3)
                    assert server.pid is not None
                    os.kill(server.pid, signal.SIGSTOP)
                    time.sleep(freeze_s)
                    os.kill(server.pid, signal.SIGCONT)
            assert emitter.flush(WAIT_S)
            client = connect(settings)
            wait_until(lambda: judge(client, settings, users, producing.ids).clean, what="all is accounted for")
            assert worker.process.poll() is None
            print(
                f"frozen for {freezes_s} s: {judge(client, settings, users, producing.ids)}; "
                f"slowest call with up to 40 events: {producing.slowest_s * 1e3:.1f} ms"
            )
            client.close()
        emitter.close()
