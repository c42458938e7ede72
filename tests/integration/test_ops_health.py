"""Whether ``/health/ready`` and ``sse-bridge status`` notice a worker that is frozen, stuck, gone, or fine."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from bridge import Emitter
from bridge.catalogs.finance.catalog import REGISTRY
from bridge.operations.health import STILL_S
from bridge.operations.status import StatusReader
from bridge.ops import create_ops_app
from bridge.redis_adapter import Workers, connect
from bridge.settings import Settings
from bridge.wiring import open_store
from tests.support import moody_catalog
from tests.support.ops import AppClient
from tests.support.processes import run_cli
from tests.support.waiting import PATIENCE, wait_until
from tests.support.worker import WorkerProcess, running_worker

RED_WITHIN_S = 15.0 * PATIENCE
STAND_STILL_S = 16.0


@pytest.fixture
def ops(settings: Settings) -> AppClient:
    return AppClient(create_ops_app(settings, REGISTRY))


def environment(settings: Settings) -> dict[str, str]:
    return {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_REGISTRY": "tests.support.standstill_catalog:registry",
        "STAND_STILL_S": str(STAND_STILL_S),
    }


@pytest.fixture(params=["prefork", "solo"])
def worker(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, ops: AppClient
) -> Iterator[WorkerProcess]:
    with running_worker(tmp_path, environment(settings), "-P", request.param, "-c", "2") as process:
        wait_until(lambda: is_ready(ops), what="ready")
        yield process


def is_ready(ops: AppClient) -> bool:
    return ops.get("/health/ready").status_code == 200


def faults(ops: AppClient) -> str:
    return "\n".join(fault["sentence"] for fault in ops.get("/health/ready").json()["faults"])


def seconds_until_red(ops: AppClient) -> float:
    since = time.monotonic()
    wait_until(lambda: not is_ready(ops), timeout_s=RED_WITHIN_S, what="red")
    return time.monotonic() - since


def test_a_frozen_worker_is_red_within_fifteen_seconds_and_green_when_it_goes_on(
    worker: WorkerProcess, ops: AppClient, settings: Settings
) -> None:
    worker.process.send_signal(signal.SIGSTOP)
    try:
        print(f"frozen: red after {seconds_until_red(ops):.1f} s")
        assert f":{worker.process.pid} has not been heard for 1" in faults(ops)
        told = run_cli("status", environment=environment(settings))
        assert told.returncode == 1
        assert "it is frozen, or was killed" in told.stdout
    finally:
        worker.process.send_signal(signal.SIGCONT)
    wait_until(lambda: is_ready(ops), what="green again")
    told = run_cli("status", environment=environment(settings))
    assert (told.returncode, "events flow" in told.stdout) == (0, True), told.stdout


def test_a_worker_whose_loop_stands_still_is_red_though_it_reports(worker: WorkerProcess, ops: AppClient) -> None:
    worker.process.send_signal(signal.SIGWINCH)
    print(f"stands still: red after {seconds_until_red(ops):.1f} s")
    assert f":{worker.process.pid} lives, but its loop has stood still for 1" in faults(ops)
    wait_until(lambda: is_ready(ops), timeout_s=STAND_STILL_S, what="green again")


def test_the_loop_of_a_worker_that_lost_its_connections_is_seen_to_turn_again(
    settings: Settings, tmp_path: Path, ops: AppClient
) -> None:
    with running_worker(tmp_path, environment(settings)), connect(settings) as client:
        wait_until(lambda: is_ready(ops), what="ready")
        client.client_kill_filter(_type="normal", skipme=True)
        seconds, _ = client.time()

        def turns_again() -> bool:
            [worker] = Workers(client).known()
            heard_s = client.time()[0] - worker.silent_s
            return heard_s > seconds + 6 and worker.report.loop_age_s < 2

        wait_until(turns_again, what="the loop turns, some seconds after the connections were lost")
        assert is_ready(ops)


def test_a_solo_worker_with_a_slow_message_is_busy_and_not_stuck(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOODY_DIR", str(tmp_path))
    ops = AppClient(create_ops_app(settings, moody_catalog.registry))
    given = {**environment(settings), "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry"}
    worker = WorkerProcess(tmp_path / "worker.log", given, "-P", "solo")
    try:
        worker.wait_until_ready()
        emitter = Emitter(settings, moody_catalog.registry)
        emitter.emit(moody_catalog.Moody(user_id=uuid4(), mode="hang", times=1))
        assert emitter.close()
        workers = Workers(connect(settings))
        wait_until(lambda: workers.known()[0].report.loop_age_s > STILL_S + 1, what="the loop waits")
        assert workers.known()[0].report.running == 1
        assert is_ready(ops)
    finally:
        worker.kill()


def test_a_worker_that_stops_says_good_bye(settings: Settings, tmp_path: Path, ops: AppClient) -> None:
    assert faults(ops) == "No worker consumes. Start one: celery -A bridge.worker worker"
    with running_worker(tmp_path, environment(settings)):
        wait_until(lambda: is_ready(ops), what="ready")
    assert Workers(connect(settings)).known() == ()
    assert "No worker consumes." in faults(ops)


def test_a_queue_that_nobody_consumes_is_named(settings: Settings, tmp_path: Path, ops: AppClient) -> None:
    with running_worker(tmp_path, environment(settings), "-X", "bridge.import"):
        wait_until(lambda: faults(ops) == "No worker consumes the queue bridge.import.", what="the queue is named")


def test_a_killed_worker_is_red(settings: Settings, tmp_path: Path, ops: AppClient) -> None:
    with running_worker(tmp_path, environment(settings)) as worker:
        wait_until(lambda: is_ready(ops), what="ready")
        worker.kill()
        assert seconds_until_red(ops) < RED_WITHIN_S


def test_a_redis_that_is_away_is_said_in_a_sentence() -> None:
    ops = AppClient(create_ops_app(Settings(broker_url="redis://127.0.0.1:1/0"), REGISTRY))
    assert "Redis did not take the command" in faults(ops)
    assert ops.get("/health/live").json() == {"status": "live"}
    assert "bridge_store_up 0.0" in ops.get("/metrics").text


def test_workers_that_were_silent_for_a_day_are_swept_by_the_next(
    settings: Settings, tmp_path: Path, ops: AppClient
) -> None:
    client = connect(settings)
    client.hset("bridge:workers", "old:1", "1 {}")
    with running_worker(tmp_path, environment(settings)):
        wait_until(lambda: is_ready(ops), what="ready")
        assert client.hkeys("bridge:workers") != []
        assert b"old:1" not in client.hkeys("bridge:workers")


def test_what_another_version_wrote_of_itself_is_passed_over(settings: Settings) -> None:
    client = connect(settings)
    client.hset("bridge:workers", mapping={"a:1": "{}", "b:2": "12 {", "c:3": "12 {}"})
    client.hset(
        "bridge:producers", mapping={"x": "no json", "y": '{"host":"h","pid":7,"started":"","waiting":3,"more":[]}'}
    )
    status = StatusReader(open_store(settings, briefly=True), settings, REGISTRY).read()
    assert status.workers == ()
    assert [(producer.host, producer.waiting) for producer in status.producers] == [("h", 3)]
