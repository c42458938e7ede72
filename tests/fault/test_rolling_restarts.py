"""Deployments under load: workers stopped and started in turn; nothing lost or twice, and no attempt counted."""

import random
import signal
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bridge import DomainEvent, Emitter
from bridge.redis_adapter import connect
from tests.fault.load import USERS, Producing, environment_for, expect_clean, settings_for
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess

STOP_WITHIN_S = 15.0
SLOW_S = "0.02"
REMAPPED = {"REMAP_SIGTERM": "SIGQUIT"}
ACCOUNTS = (
    "unacked",
    "unacked_index",
    "bridge:deliveries",
    "bridge:starts",
    "bridge:retry:due",
    "bridge:retry:records",
)


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_rolling_restarts_lose_and_double_nothing(
    servers: tuple[str, str], tmp_path: Path, scale: float, dice: random.Random
) -> None:
    rounds = max(1, int(scale))
    settings = settings_for(*servers)
    environment = {**environment_for(settings, tmp_path), "SLOW_S": SLOW_S}
    users = [uuid4() for _ in range(USERS)]
    emitter = Emitter(settings, registry)
    client = connect(settings)
    # The first is stopped as the image does it, which takes ten seconds; the others mostly as Celery does it by itself.
    workers = [
        _start(tmp_path, "worker-0-0", {**environment, **REMAPPED}),
        _start(tmp_path, "worker-0-1", environment),
    ]
    try:
        with Producing(emitter, 1, users, dice, _slow, pause_s=0.3) as producing:
            slowest_s = 0.0
            for number in range(rounds):
                for place in range(2):
                    time.sleep(dice.random() * 0.5)
                    remapped = REMAPPED if dice.random() < 0.1 * scale else {}
                    slowest_s = max(slowest_s, _stop(workers[place]))
                    workers[place] = _start(tmp_path, f"worker-{number + 1}-{place}", {**environment, **remapped})
        assert emitter.flush(WAIT_S)
        verdict = expect_clean(settings, users, producing.ids)
        wait_until(lambda: not client.exists("unacked", "bridge.moods"), what="all is acknowledged")
    finally:
        for worker in workers:
            worker.kill()
    counts = Counts(client).read()
    runs = sum(path.stat().st_size for path in tmp_path.iterdir() if path.name in set(producing.ids))
    print(f"{2 * rounds} restarts: {verdict}; {runs} runs; slowest stop {slowest_s:.1f} s; {counts}")
    assert counts["retried"] == verdict.dead == 0, "a shutdown counts as no attempt"
    assert not [key for key in ACCOUNTS if client.exists(key)], "a shutdown counts as no death"
    emitter.close()
    client.close()


def _slow(user_id: UUID, number: int) -> DomainEvent:
    return Moody(user_id=user_id, number=number, mode="slow")


def _start(folder: Path, name: str, environment: dict[str, str]) -> WorkerProcess:
    worker = WorkerProcess(folder / f"{name}.log", environment, "--concurrency=2", "-n", f"{name}@%h")
    worker.wait_until_ready()
    return worker


def _stop(worker: WorkerProcess) -> float:
    """SIGTERM, and the seconds until it has ended in order."""
    begin = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(STOP_WITHIN_S) == 0, worker.text()[-2000:]
    return time.monotonic() - begin
