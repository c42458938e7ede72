"""kill -9 of whole workers at random moments: nothing lost, nothing twice; and stock Celery beside it."""

import random
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from tests.fault.load import USERS, Producing, environment_for, settings_for
from tests.fault.oracle import judge
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.team import FORMS, team_at_work, team_environment
from tests.support.waiting import PATIENCE, WAIT_S, wait_until
from tests.support.worker import ROOT, WorkerProcess, clean_environment, running_worker

MESSAGES = {
    "own": ("bridge.moods", "unacked", "unacked_index"),
    "installed": ("bridge.moods", "unacked.bridge", "unacked.bridge_index"),
}
"""Where Redis keeps what is not done; in a team's app kombu's own keys are the team's."""


def _kill_at_random(workers: int, folder: Path, environment: dict[str, str], dice: random.Random, app: str) -> None:
    """Start workers one after another and kill each at a random moment, also while it starts."""
    for number in range(workers):
        worker = WorkerProcess(folder / f"worker-{number}.log", environment, "--concurrency=2", app=app)
        if dice.random() < 0.9:
            worker.wait_until_ready()
            time.sleep(dice.random() * 0.4)
        worker.kill()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_no_kill_loses_or_doubles_an_event(
    servers: tuple[str, str], form: str, tmp_path: Path, scale: float, dice: random.Random
) -> None:
    """Emits while workers are killed, a team's tasks beside; then one worker finishes, and the accounting is read."""
    settings, app = settings_for(*servers), FORMS[form]
    scale = scale if form == "own" else scale / 2
    events, kills = int(6_000 * scale), int(12 * scale)
    environment = environment_for(settings, tmp_path) | team_environment(settings.broker_url, tmp_path)
    users = [uuid4() for _ in range(USERS)]
    emitter = Emitter(settings, registry)
    with (
        Producing(emitter, events, users, dice) as producing,
        team_at_work(settings.broker_url) if form == "installed" else nullcontext(),
    ):
        _kill_at_random(kills, tmp_path, environment, dice, app)
    assert emitter.flush(WAIT_S)
    client = connect(settings)
    with running_worker(tmp_path, environment, app=app):
        wait_until(
            lambda: judge(client, settings, users, producing.ids).clean,
            timeout_s=30 + 30 * scale,
            what="every accepted event is accounted for",
        )
        # What a worker settled and was killed before it said so comes back when its claim has run out.
        wait_until(lambda: not client.exists(*MESSAGES[form]), what="no message is left")
    verdict = judge(client, settings, users, producing.ids)
    print(f"{kills} kills: {verdict}; {Counts(client).read()}")
    assert verdict.clean
    assert not client.exists(*MESSAGES[form])
    emitter.close()
    client.close()


def test_an_event_that_kills_its_whole_worker_dies_alone(tmp_path: Path) -> None:
    with EmbeddedServer() as server:
        settings = settings_for(server.url, delivery_max=3)
        environment = environment_for(settings, tmp_path)
        user_id = uuid4()
        events = [Moody(user_id=user_id, number=n, mode="massacre" if n == 2 else "ok") for n in range(5)]
        emitter = Emitter(settings, registry)
        emitter.emit_many(events)
        assert emitter.flush(WAIT_S)
        client = connect(settings)
        deadline = time.monotonic() + 90 * PATIENCE
        number = 0
        while not judge(client, settings, [user_id], [str(event.event_id) for event in events]).dead:
            assert time.monotonic() < deadline, "the poison message was not dead-lettered in time"
            worker = WorkerProcess(tmp_path / f"worker-{number}.log", environment)
            number += 1
            while worker.process.poll() is None and not Counts(client).read()["dead"]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            worker.kill()
        with running_worker(tmp_path, environment):
            wait_until(lambda: Counts(client).read()["published"] == 4, what="the others are published")
        print(f"{number} workers died over it")
        assert Counts(client).read()["dead"] == 1
        emitter.close()
        client.close()


STOCK_WORKER = """
import os, redis
from celery import Celery
app = Celery("stock", broker=os.environ["URL"])
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True, worker_concurrency=2,
    broker_transport_options={"visibility_timeout": 3, "unacked_restore_interval": 1, "unacked_restore_throttle": 1})
client = redis.Redis.from_url(os.environ["URL"])
@app.task(name="stock.publish")
def publish(ids):
    with client.pipeline() as pipe:
        for event_id in ids:
            pipe.xadd("out", {"id": event_id})
        pipe.execute()
"""


def test_the_baseline_stock_celery_under_the_same_kills(tmp_path: Path, scale: float, dice: random.Random) -> None:
    """No bar: shows that this suite finds what it looks for. Its figures stand beside ours."""
    events, kills = int(6_000 * scale), int(12 * scale)
    (tmp_path / "stock.py").write_text(STOCK_WORKER)
    with EmbeddedServer() as server:
        environment = {**clean_environment(), "URL": server.url, "PYTHONPATH": str(tmp_path)}
        ids = _send_to_stock(server.url, events)
        for number in range(kills):
            worker = _stock_worker(tmp_path / f"stock-{number}.log", environment)
            worker.wait_until_ready()
            time.sleep(dice.random() * 0.4)
            worker.kill()
        worker = _stock_worker(tmp_path / "stock-last.log", environment)
        worker.wait_until_ready()
        with redis.Redis.from_url(server.url) as client:
            wait_until(lambda: not client.exists("celery", "unacked"), timeout_s=60 + 30 * scale, what="stock is done")
            published = [fields[b"id"].decode() for _, fields in client.xrange("out")]
        worker.kill()
    lost, twice = len(ids) - len(set(published)), len(published) - len(set(published))
    print(f"stock Celery, {kills} kills: {len(ids)} sent, {lost} lost, {twice} published twice")
    assert len(ids) == events


def _send_to_stock(url: str, events: int) -> list[str]:
    from celery import Celery

    ids = [str(uuid4()) for _ in range(events)]
    app = Celery("sender", broker=url, set_as_current=False)
    for start in range(0, events, 20):
        app.send_task("stock.publish", args=[ids[start : start + 20]])
    return ids


class _StockProcess(WorkerProcess):
    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "stock", "worker", "--loglevel=INFO"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _stock_worker(log: Path, environment: dict[str, str]) -> WorkerProcess:
    return _StockProcess(log, environment)
