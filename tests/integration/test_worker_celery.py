"""The Celery side: what is registered, pools, restarts, and an operator's mistakes."""

import json
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, Settings
from bridge.catalogs.finance import REGISTRY
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.redis_adapter import RetrySet, connect
from bridge.worker import create_app
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.processes import clean_environment, run
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker


def test_tasks_queues_and_routes_come_from_the_registry_and_nothing_else() -> None:
    app = create_app(Settings(), REGISTRY)
    ours = {name for name in app.tasks if name.startswith("bridge.")}
    assert ours == {f"bridge.{row.domain_event_class.__name__}" for row in REGISTRY.mappings}
    assert {queue.name for queue in app.conf.task_queues} == {f"bridge.{c.value}" for c in REGISTRY.categories}
    for row in REGISTRY.mappings:
        route = app.amqp.router.route({}, REGISTRY.task_of(row))
        assert route["queue"].name == REGISTRY.queue_of(row)
        assert app.tasks[REGISTRY.task_of(row)].mapping is row


def test_each_task_handles_its_own_mapping_and_says_so() -> None:
    app = create_app(Settings(), REGISTRY)
    assert "import.failed" in app.tasks["bridge.FileImportFailed"].__doc__
    assert "sync.accounts.started" in app.tasks["bridge.AccountSyncAttempted"].__doc__


@pytest.mark.parametrize("pool", ["solo", "threads", "prefork"])
def test_every_pool_publishes_and_retries(pool: str, redis_url: str, tmp_path: Path) -> None:
    environment = {
        "BRIDGE_BROKER_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    settings = Settings(broker_url=redis_url)
    client = connect(settings)
    with running_worker(tmp_path, environment, f"--pool={pool}", "--concurrency=2"):
        emitter = Emitter(settings, registry)
        emitter.emit_many(
            [Moody(user_id=uuid4(), number=n, mode="fail" if n % 10 == 0 else "ok", times=1) for n in range(300)]
        )
        assert emitter.flush(WAIT_S)
        wait_until(
            lambda: Counts(client).read()["published"] == 300 and not RetrySet(client, settings).count(),
            what="300 published",
        )
        emitter.close()
    assert Counts(client).read()["retried"] == 30
    client.close()


def test_waiting_retries_survive_a_restart_of_redis_and_worker(tmp_path: Path) -> None:
    server = EmbeddedServer(port=free_port(), folder=tmp_path / "redis").start()
    settings = Settings(broker_url=server.url)
    environment = {
        "BRIDGE_BROKER_URL": server.url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
        # What the killed worker held when the first of them waited comes back after this time.
        "BRIDGE_VISIBILITY_TIMEOUT_S": "4",
        "BRIDGE_TASK_TIME_LIMIT_S": "2",
    }
    client = connect(settings)
    try:
        with running_worker(tmp_path, environment) as worker:
            emitter = Emitter(settings, registry)
            emitter.emit_many([Moody(user_id=uuid4(), mode="fail", times=1) for _ in range(50)])
            assert emitter.flush(WAIT_S)
            wait_until(lambda: RetrySet(client, settings).count(), what="events wait")
            server.kill()
            worker.kill()
            server.start()
            (tmp_path / "worker.log").write_text("")
            with running_worker(tmp_path, environment):
                wait_until(lambda: Counts(client).read()["published"] == 50, what="all published")
            emitter.close()
            worker.process.returncode = 0
    finally:
        client.close()
        server.stop()


def test_order_is_kept_within_a_queue(redis_url: str, tmp_path: Path) -> None:
    environment = {
        "BRIDGE_BROKER_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    settings = Settings(broker_url=redis_url, stream_maxlen=3000)
    user_id = uuid4()
    with running_worker(tmp_path, {**environment, "BRIDGE_STREAM_MAXLEN": "3000"}):
        emitter = Emitter(settings, registry)
        for number in range(2000):
            emitter.emit(Moody(user_id=user_id, number=number))
        assert emitter.flush(WAIT_S)
        with redis.Redis.from_url(redis_url) as client:
            stream = f"sse:stream:user:{{{user_id}}}"
            wait_until(lambda: client.xlen(stream) == 2000, what="all published")
            numbers = [json.loads(fields[b"data"])["number"] for _, fields in client.xrange(stream)]
        emitter.close()
    assert numbers == list(range(2000))


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"BRIDGE_BROKER_URL": "http://x"}, "BRIDGE_BROKER_URL must start with one of redis://"),
        ({"BRIDGE_REGISTRY": "no.such:registry"}, "there is no module 'no'"),
        ({"BRIDGE_REGISTRY": "bridge.catalogs"}, "write it as 'package.module:attribute'"),
        ({"BRIDGE_REGISTRY": "bridge.model.registry:Registry"}, "must be a bridge.Registry"),
        ({"BRIDGE_STREAM_MAXLEN": "many"}, "BRIDGE_STREAM_MAXLEN must be a whole number"),
        ({"BRIDGE_REDIS_ULR": "redis://127.0.0.1:1/0"}, "did you mean BRIDGE_REDIS_URL?"),
    ],
)
def test_an_operators_mistake_is_one_sentence_without_a_traceback(environment: dict[str, str], sentence: str) -> None:
    result = run([sys.executable, "-m", "celery", "-A", "bridge.worker", "worker"], clean_environment(environment))
    assert result.returncode != 0
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_a_redis_that_may_evict_queues_is_pointed_out_at_start_up(tmp_path: Path) -> None:
    with EmbeddedServer() as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        with running_worker(tmp_path, {"BRIDGE_BROKER_URL": server.url}) as worker:
            assert "maxmemory-policy is allkeys-lru, which may evict queues" in worker.text()
