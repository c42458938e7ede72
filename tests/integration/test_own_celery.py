"""The bridge in a team's own Celery app: pools, serializers, brokers that go away, queues told at run time, status."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from celery import Celery

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.redis_adapter import RetrySet, Workers, connect
from bridge.runtime.reports import WorkerReport
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.processes import run_cli
from tests.support.rabbitmq import RabbitMQ
from tests.support.team import APP, team_environment
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, moody_environment, running_worker


@pytest.fixture
def environment(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Of a worker whose tasks and events come from one server."""
    theirs = team_environment(redis_url, tmp_path)
    return {**moody_environment(Settings(broker_url=redis_url), tmp_path), **theirs}


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A Redis that may be killed."""
    with EmbeddedServer(port=free_port(), folder=tmp_path / "other") as server:
        yield server


def call(url: str, task: str, *arguments: object, **options: object) -> None:
    """Send one of the team's tasks."""
    with Celery("sender", broker=url, set_as_current=False) as sender:
        sender.send_task(f"team.{task}", args=arguments, **options)


def notes(folder: Path) -> list[str]:
    """What the team's tasks have noted."""
    file = folder / "team-notes"
    return file.read_text().splitlines() if file.exists() else []


def reports(client: redis.Redis) -> list[WorkerReport]:
    """What the living workers say."""
    return [known.report for known in Workers(client).known()]


def publish(settings: Settings, counts: Counts, number: int) -> None:
    """Emit, some of it to be tried again, and wait until all is published."""
    before, emitter = counts.read()["published"], Emitter(settings, registry)
    user_id = uuid4()
    emitter.emit_many(
        [Moody(user_id=user_id, number=n, mode="fail" if n % 10 == 0 else "ok", times=1) for n in range(number)]
    )
    assert emitter.flush(WAIT_S)
    wait_until(lambda: counts.read()["published"] >= before + number, what="all are published")
    emitter.close()


@pytest.mark.parametrize(
    "pool",
    [
        "prefork",
        "threads",
        pytest.param("solo", marks=pytest.mark.slow),
        pytest.param("gevent", marks=pytest.mark.slow),
    ],
)
def test_every_pool_publishes_and_retries_beside_the_teams_tasks(
    pool: str, redis_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    settings = Settings(broker_url=redis_url)
    options = (f"--pool={pool}", "--concurrency=2")
    # gevent replaces parts of Python before anything is imported.
    with (
        connect(settings) as client,
        running_worker(tmp_path, environment, *options, app=APP, from_nothing=pool == "gevent") as worker,
    ):
        publish(settings, Counts(client), 200)
        call(redis_url, "note", "beside")
        wait_until(lambda: notes(tmp_path) == ["beside"], what="the team's task ran")
        assert Counts(client).read()["retried"] == 20
        assert not RetrySet(client, settings).count()
        wait_until(lambda: reports(client)[0].consumed, what="it reports what it did")
        (report,) = reports(client)
        assert sorted(report.queues) == sorted(registry.queues)
        assert report.pool in pool
        status = run_cli("status", environment=environment)
        assert str(worker.process.pid) in status.stdout, status


def test_an_app_that_reads_pickle_alone_publishes(redis_url: str, environment: dict[str, str], tmp_path: Path) -> None:
    settings, environment = (
        Settings(broker_url=redis_url),
        {**environment, "TEAM_ACCEPTS": "pickle", "C_FORCE_ROOT": "1"},
    )
    with connect(settings) as client, running_worker(tmp_path, environment, app=APP, from_nothing=True) as worker:
        publish(settings, Counts(client), 20)
        call(redis_url, "note", "json")
        call(redis_url, "note", "pickled", serializer="pickle")
        wait_until(lambda: notes(tmp_path) == ["pickled"], what="the team's task ran")
        assert "bridge.installed.differs: accept_content: the app takes pickle" in worker.text()


@pytest.mark.parametrize("lost", ["the bridge's", "the team's"])
def test_whichever_broker_goes_away_the_other_ones_work_goes_on(
    lost: str, redis_url: str, other_server: EmbeddedServer, tmp_path: Path
) -> None:
    bridges, teams = (other_server.url, redis_url) if lost == "the bridge's" else (redis_url, other_server.url)
    settings = Settings(broker_url=bridges, redis_url=redis_url)
    environment = {**moody_environment(settings, tmp_path), **team_environment(teams, tmp_path)}
    with connect(settings) as client, running_worker(tmp_path, environment, "-c2", app=APP) as worker:
        assert "bridge.installed.differs: broker: the app's tasks come from" in worker.text()
        publish(settings, Counts(client), 20)
        other_server.kill()
        if lost == "the bridge's":
            wait_until(lambda: worker.text().count("Cannot connect to") >= 2, what="it has tried again")
            call(teams, "note", "meanwhile")
            wait_until(lambda: "meanwhile" in notes(tmp_path), what="the team's task ran")
        other_server.start()
        publish(settings, Counts(client), 20)
        call(teams, "note", "after")
        wait_until(lambda: "after" in notes(tmp_path), what="the team's task ran")


@pytest.mark.parametrize(
    ("trouble", "broker", "pool"),
    [
        ("away", "redis", "prefork"),
        ("frozen", "redis", "prefork"),
        ("away", "rabbitmq", "prefork"),
        pytest.param("away", "redis", "threads", marks=pytest.mark.slow),
        pytest.param("away", "redis", "gevent", marks=pytest.mark.slow),
    ],
)
def test_the_teams_tasks_go_on_while_the_bridges_store_is_away(
    trouble: str, broker: str, pool: str, request: pytest.FixtureRequest, other_server: EmbeddedServer, tmp_path: Path
) -> None:
    url = request.getfixturevalue("redis_url") if broker == "redis" else request.getfixturevalue("rabbitmq").url
    settings = Settings(broker_url=url, redis_url=other_server.url)
    environment = {**moody_environment(settings, tmp_path), **team_environment(url, tmp_path)}
    options = ("-c1", f"--pool={pool}")
    with (
        connect(settings) as client,
        running_worker(tmp_path, environment, *options, app=APP, from_nothing=pool == "gevent") as worker,
    ):
        publish(settings, Counts(client), 20)
        pid = other_server.pid
        assert pid
        other_server.kill() if trouble == "away" else os.kill(pid, signal.SIGSTOP)
        emitter = Emitter(settings, registry)
        emitter.emit_many([Moody(user_id=uuid4(), number=number) for number in range(300)])
        assert emitter.flush(WAIT_S)
        wait_until(lambda: "bridge.installed.rests" in worker.text(), what="it claims no more")
        for number in range(3):
            call(url, "note", f"meanwhile {number}")
            wait_until(lambda n=number: f"meanwhile {n}" in notes(tmp_path), what="the team's task ran", timeout_s=12)
            time.sleep(1)
        other_server.start() if trouble == "away" else os.kill(pid, signal.SIGCONT)
        wait_until(lambda: Counts(client).read()["published"] >= 320, what="all are published")
        assert not Counts(client).read()["dead"]
        emitter.close()


def test_a_worker_with_the_bridge_on_rabbitmq(redis_url: str, rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    settings = Settings(broker_url=rabbitmq.url, redis_url=redis_url)
    environment = {**moody_environment(settings, tmp_path), **team_environment(rabbitmq.url, tmp_path)}
    emitter = Emitter(settings, registry)
    emitter.emit_many([Moody(user_id=uuid4(), number=number) for number in range(300)])
    assert emitter.flush(WAIT_S)
    call(rabbitmq.url, "note", "beside")
    with connect(settings) as client, running_worker(tmp_path, environment, app=APP):
        publish(settings, Counts(client), 20)
        wait_until(lambda: notes(tmp_path) == ["beside"], what="the team's task ran")
        wait_until(lambda: Counts(client).read()["published"] == 320, what="all are published")
        assert not Counts(client).read()["dead"]
    emitter.close()


def test_a_worker_is_told_of_a_queue_while_it_runs(redis_url: str, environment: dict[str, str], tmp_path: Path) -> None:
    settings = Settings(broker_url=redis_url)
    with connect(settings) as client, running_worker(tmp_path, environment, "-Q", "celery,bridge.news", app=APP):
        with Celery("operator", broker=redis_url, set_as_current=False) as operator:
            operator.control.add_consumer("bridge.moods")
        publish(settings, Counts(client), 20)
        wait_until(
            lambda: [sorted(one.queues) for one in reports(client)] == [["bridge.moods", "bridge.news"]],
            what="it reports the queue",
        )


def test_a_kill_leaves_the_teams_claims_and_the_bridges_apart(
    redis_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    environment = {**environment, "BRIDGE_VISIBILITY_TIMEOUT_S": "3", "BRIDGE_TASK_TIME_LIMIT_S": "2"}
    settings = Settings(broker_url=redis_url, visibility_timeout_s=3, task_time_limit_s=2)
    with redis.Redis.from_url(redis_url) as client:
        doomed = WorkerProcess(tmp_path / "doomed.log", environment, app=APP)
        doomed.wait_until_ready()
        call(redis_url, "pause", 1, "late", countdown=3600)
        call(redis_url, "pause", 600, "busy")
        wait_until(lambda: client.hlen("unacked") == 1 and notes(tmp_path), what="it holds one task, and runs another")
        emitter = Emitter(settings, registry)
        emitter.emit(Moody(user_id=uuid4()))
        wait_until(lambda: client.hlen("unacked.bridge") == 1, what="it has claimed the event's message")
        emitter.close()
        doomed.kill()
        with running_worker(tmp_path, environment, app=APP):
            wait_until(lambda: Counts(client).read()["published"] == 1, what="the event is published")
            assert client.hlen("unacked") == 1, "the team's task is held for as long as the team says"


def test_what_a_killed_worker_of_the_bridge_held_is_put_back_and_nothing_of_the_teams_beside_it(
    redis_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    environment = {**environment, "BRIDGE_VISIBILITY_TIMEOUT_S": "3", "BRIDGE_TASK_TIME_LIMIT_S": "2"}
    settings, emitter = Settings(broker_url=redis_url), Emitter(Settings(broker_url=redis_url), registry)
    with connect(settings) as counts, redis.Redis.from_url(redis_url) as client:
        doomed = WorkerProcess(tmp_path / "doomed.log", environment, "-c1")
        doomed.wait_until_ready()
        for pid in doomed.children():
            os.kill(pid, signal.SIGSTOP)
        emitter.emit_many([Moody(user_id=uuid4(), number=number) for number in range(3)])
        assert emitter.flush(WAIT_S)
        wait_until(lambda: client.hlen("unacked"), what="it has claimed")
        doomed.kill()
        theirs = str(uuid4())  # held for as long as the team says, an hour
        client.hset("unacked", theirs, '[{"body": ""}, "", "celery"]')
        client.zadd("unacked_index", {theirs: time.time() - 600})
        with running_worker(tmp_path, environment, app=APP):
            wait_until(lambda: Counts(counts).read()["published"] == 3, what="the events are published")
        assert client.hkeys("unacked") == client.zrange("unacked_index", 0, -1) == [theirs.encode()]
    emitter.close()


def test_a_warm_shutdown_gives_everything_back(redis_url: str, environment: dict[str, str], tmp_path: Path) -> None:
    settings, emitter = Settings(broker_url=redis_url), Emitter(Settings(broker_url=redis_url), registry)
    emitter.emit_many([Moody(user_id=uuid4(), number=number) for number in range(2000)])
    with connect(settings) as client, redis.Redis.from_url(redis_url) as broker:
        with running_worker(tmp_path, environment, "-c2", app=APP):
            wait_until(lambda: Counts(client).read()["published"], what="it is at work")
        assert not broker.exists("unacked.bridge", "unacked.bridge_index")
        with running_worker(tmp_path, environment, "-c2", app=APP):
            wait_until(lambda: Counts(client).read()["published"] == 2000, what="all are published")
        assert not Counts(client).read()["duplicate"], "nothing ran again"
    emitter.close()


def test_a_warm_shutdown_that_waits_for_a_team_task_holds_no_events_meanwhile(
    redis_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    settings, emitter = Settings(broker_url=redis_url), Emitter(Settings(broker_url=redis_url), registry)
    with connect(settings) as client, redis.Redis.from_url(redis_url) as broker:
        worker = WorkerProcess(tmp_path / "ending.log", environment, "-c1", app=APP)
        worker.wait_until_ready()
        call(redis_url, "hold")
        wait_until(lambda: notes(tmp_path) == ["begin"], what="the pool is busy")
        emitter.emit_many([Moody(user_id=uuid4(), number=number) for number in range(300)])
        assert emitter.flush(WAIT_S)
        wait_until(lambda: broker.hlen("unacked.bridge"), what="it has claimed some")
        worker.process.terminate()
        wait_until(lambda: not broker.exists("unacked.bridge", "unacked.bridge_index"), what="all is given back")
        assert worker.process.poll() is None, "it waits for the team's task"
        with running_worker(tmp_path, environment, "-Q", "bridge.moods,bridge.news", app=APP):
            wait_until(lambda: Counts(client).read()["published"] == 300, what="another publishes them")
        with (tmp_path / "team-notes").open("a") as file:
            file.write("go\n")
        worker.stop()
        assert not broker.hlen("bridge:deliveries"), "no death was counted"
        assert not Counts(client).read()["duplicate"], "nothing ran twice"
    emitter.close()


def test_an_operators_mistake_is_one_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    worker = WorkerProcess(tmp_path / "worker.log", {**environment, "BRIDGE_REGISTRY": "no.such:registry"}, app=APP)
    assert worker.process.wait(WAIT_S) != 0
    assert "there is no module 'no'" in worker.text()
    assert "Traceback" not in worker.text()
