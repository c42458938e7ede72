"""What stands on a queue that no registry names any more: every monitor tells, and it can be moved or handed over."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import DomainEvent, Emitter, Registry, Settings
from bridge.ops import create_ops_app
from bridge.redis_adapter import Ledger, read_balance
from tests.support import keys
from tests.support.keys import user_stream
from tests.support.ops import AppClient
from tests.support.processes import run_cli
from tests.support.skewed_catalogs import Old, old, renamed
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

CATALOGS = "tests.support.skewed_catalogs"
NUMBER = 30
MOVE = "sse-bridge queues move bridge.orders bridge.purchases"


def environment(settings: Settings, catalog: str) -> dict[str, str]:
    return {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REGISTRY": f"{CATALOGS}:{catalog}"}


def sse_bridge(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = run_cli(*arguments, environment=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def emit(settings: Settings, registry: Registry, events: Sequence[DomainEvent]) -> None:
    emitter = Emitter(settings, registry)
    assert emitter.emit_many(events) == len(events)
    assert emitter.flush(WAIT_S)
    emitter.close()


def test_every_monitor_tells_of_a_queue_that_nobody_reads(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    emit(settings, old, [Old.OrderPlaced(user_id=uuid4(), number=number) for number in range(NUMBER)])
    new = environment(settings, "renamed")
    with running_worker(tmp_path, new):
        wait_until(lambda: client.hlen(keys.WORKERS), what="the worker reports")
        status = sse_bridge(new, "status")
        assert status.returncode == 1
        assert "bridge.orders" in status.stdout
        assert MOVE in status.stdout
        audit = sse_bridge(new, "audit", "--grace", "0")
        assert audit.returncode == 1
        assert MOVE in audit.stdout
        assert "Missing" not in audit.stdout
        page = AppClient(create_ops_app(settings, renamed))
        ready = page.get("/health/ready")
        assert ready.status_code == 503
        assert any(MOVE in fault["sentence"] for fault in ready.json()["faults"])
        metrics = page.get("/metrics").text
        assert 'bridge_queue_stranded_messages{queue="bridge.orders"}' in metrics
        assert "bridge_healthy 0.0" in metrics
        listed = {queue["name"]: queue for queue in json.loads(sse_bridge(new, "queues", "--json").stdout)}
        assert listed["bridge.orders"]["waiting"] >= 1
        assert not listed["bridge.orders"]["registered"]
        assert listed["bridge.purchases"]["workers"]


def test_what_is_stranded_is_moved_and_published_and_the_books_balance(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    emit(settings, old, [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
    new = environment(settings, "renamed")
    dry = sse_bridge(new, "queues", "move", "bridge.orders", "bridge.purchases", "--dry-run")
    assert dry.returncode == 0
    assert client.llen("bridge.orders")
    assert sse_bridge(new, "queues", "move", "bridge.orders", "bridge.purchases", "-y").returncode == 0
    assert {summary.queue for summary in Ledger(client, settings).summaries()} == {"bridge.purchases"}
    with running_worker(tmp_path, new):
        wait_until(lambda: client.xlen(user_stream(user)) == NUMBER, what="all is published")
        wait_until(lambda: read_balance(client).open == 0, what="all has ended")
        numbers = [fields[b"data"] for _, fields in client.xrange(user_stream(user))]
        assert numbers == [b'{"number":%d}' % number for number in range(NUMBER)]
        assert read_balance(client).balanced
        wait_until(lambda: sse_bridge(new, "status").returncode == 0, what="the status is green")
    log = json.loads(sse_bridge(new, "dead", "log", "--json").stdout)
    assert log[0]["action"] == "queues.move"


def test_a_worker_can_be_given_a_queue_that_the_registry_has_no_more(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    emit(settings, old, [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
    with running_worker(tmp_path, environment(settings, "renamed"), "-Q", "bridge.orders"):
        wait_until(lambda: client.xlen(user_stream(user)) == NUMBER, what="all is published")


def test_a_mistyped_queue_is_refused_with_the_near_one(settings: Settings, tmp_path: Path) -> None:
    from tests.support.worker import WorkerProcess

    worker = WorkerProcess(tmp_path / "worker.log", environment(settings, "renamed"), "-Q", "bridge.purchase")
    wait_until(lambda: worker.process.poll() is not None, what="the worker ends")
    assert "bridge.purchases" in worker.text()
    assert "bridge.purchase'" in worker.text()
    assert "Traceback" not in worker.text()


@pytest.mark.parametrize(
    ("source", "target", "hint"),
    [
        ("bridge.order", "bridge.purchases", "bridge.orders"),
        ("bridge.orders", "bridge.purchase", "bridge.purchases"),
    ],
)
def test_a_mistyped_name_is_an_error_with_the_near_one(settings: Settings, source: str, target: str, hint: str) -> None:
    emit(settings, old, [Old.OrderPlaced(user_id=uuid4(), number=1)])
    answer = sse_bridge(environment(settings, "renamed"), "queues", "move", source, target, "-y")
    assert answer.returncode == 2
    assert f"did you mean {hint}?" in answer.stderr


def test_a_queue_that_only_another_catalogs_worker_consumes_is_no_target(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    emit(settings, old, [Old.OrderPlaced(user_id=uuid4(), number=1)])
    ours = environment(settings, "old")
    foreign = {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry"}
    move = ("queues", "move", "bridge.orders", "bridge.moods", "-y")
    with running_worker(tmp_path, foreign):
        wait_until(lambda: client.hlen(keys.WORKERS), what="the worker reports")
        for extra in ((), ("--dry-run",)):
            refused = sse_bridge(ours, *move, *extra)
            assert refused.returncode == 1
            assert "workers with another catalog" in refused.stderr
            assert "--anyway" in refused.stderr
        assert client.llen("bridge.orders") == 1
        assert sse_bridge(ours, *move, "--anyway").returncode == 0
        assert client.llen("bridge.orders") == 0
