"""A worker meets servers in trouble: full, refusing, away, limited; it waits, goes on, and loses nothing."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.redis_adapter import DeadLetters, connect
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, attempts_of, registry
from tests.support.processes import clean_environment, run
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, running_worker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(port=free_port(), folder=tmp_path / "store").start()
    yield server
    server.stop()


def _settings(broker: EmbeddedServer, store: EmbeddedServer) -> Settings:
    return Settings(broker_url=broker.url, redis_url=store.url)


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    return {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_REDIS_URL": settings.redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(folder),
    }


def _emit(settings: Settings, number: int) -> None:
    emitter = Emitter(settings, registry)
    for _ in range(number):
        emitter.emit(Moody(user_id=uuid4()))
    assert emitter.flush(WAIT_S)
    emitter.close()


def _wait_published(settings: Settings, number: int) -> None:
    with connect(settings) as client:
        wait_until(lambda: Counts(client).read()["published"] >= number, what=f"{number} published")


def _alive(worker: WorkerProcess) -> None:
    assert worker.process.poll() is None, worker.text()[-2000:]
    assert "Unrecoverable" not in worker.text()


def test_a_full_broker_is_waited_for_and_drained(broker, store, tmp_path) -> None:
    settings = _settings(broker, store)
    with (
        redis.Redis.from_url(broker.url) as client,
        running_worker(tmp_path, _environment(settings, tmp_path)) as worker,
    ):
        worker.process.send_signal(signal.SIGSTOP)
        _emit(settings, 1000)
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        worker.process.send_signal(signal.SIGCONT)
        wait_until(lambda: "OOM" in worker.text() or "maxmemory" in worker.text(), what="the worker was refused")
        client.config_set("maxmemory", 0)
        _wait_published(settings, 1000)
        _alive(worker)


def test_a_broker_that_refuses_writes_for_a_while_is_waited_for(broker, store, tmp_path) -> None:
    settings = _settings(broker, store)
    with (
        redis.Redis.from_url(broker.url) as client,
        running_worker(tmp_path, _environment(settings, tmp_path)) as worker,
    ):
        _emit(settings, 1)
        _wait_published(settings, 1)
        client.config_set("min-replicas-to-write", 1)
        wait_until(lambda: "NOREPLICAS" in worker.text(), what="the worker was refused")
        client.config_set("min-replicas-to-write", 0)
        _emit(settings, 5)
        _wait_published(settings, 6)
        _alive(worker)


def test_what_is_no_message_waits_while_the_store_is_away(broker, store, tmp_path) -> None:
    settings = _settings(broker, store)
    environment = {
        **_environment(settings, tmp_path),
        "BRIDGE_VISIBILITY_TIMEOUT_S": "4",
        "BRIDGE_TASK_TIME_LIMIT_S": "3",
    }
    with (
        redis.Redis.from_url(broker.url) as client,
        running_worker(tmp_path, environment) as worker,
    ):
        store.kill()
        client.lpush("bridge.moods", b"garbage")
        wait_until(lambda: "bridge.message.returned" in worker.text(), what="it could not be kept")
        store.start()
        with connect(settings) as books:
            letters = DeadLetters(books, settings)
            wait_until(lambda: letters.count() == 1, what="it is kept after all")
        _alive(worker)


def test_remote_control_answers_and_leaves_nothing_behind(broker, tmp_path) -> None:
    settings = Settings(broker_url=broker.url)
    environment = {**_environment(settings, tmp_path), "BRIDGE_REDIS_URL": ""}
    with redis.Redis.from_url(broker.url) as client, running_worker(tmp_path, environment):
        for command in ("ping", "stats"):
            _inspect(command, environment)
        assert not client.exists("unacked", "bridge:deliveries")


def test_remote_control_shows_what_runs_and_none_of_its_contents(broker, tmp_path) -> None:
    settings = Settings(broker_url=broker.url)
    environment = {**_environment(settings, tmp_path), "BRIDGE_REDIS_URL": "", "SLOW_S": "8"}
    emitter = Emitter(settings, registry)
    with running_worker(tmp_path, environment):
        event = Moody(user_id=uuid4(), mode="slow")
        emitter.emit(event)
        wait_until(lambda: attempts_of(tmp_path, event.event_id) == 1, what="it runs")
        shown = _inspect("active", environment)
        assert "bridge.Moody" in shown
        assert str(event.user_id) not in shown
    emitter.close()


NODE = f"celery@{socket.gethostname()}"
"""Asked by name, it is not waited for longer than it takes to answer."""


def _inspect(command: str, environment: dict[str, str]) -> str:
    words = ["-A", "bridge.worker", "inspect", command, "-d", NODE, "--timeout", "60"]
    result = run([sys.executable, "-m", "celery", *words], clean_environment(environment))
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_server_that_cannot_tell_of_changes_costs_milliseconds(broker, tmp_path) -> None:
    with redis.Redis.from_url(broker.url) as client:
        client.execute_command("ACL", "SETUSER", "poor", "on", ">word", "~*", "&*", "+@all", "-client|tracking")
        settings = Settings(broker_url=broker.url.replace("redis://", "redis://poor:word@"), redis_url=broker.url)
        emitter = Emitter(Settings(broker_url=broker.url), registry)
        with running_worker(tmp_path, _environment(settings, tmp_path)) as worker:
            waits_s = [_seconds_to_publish(emitter, client) for _ in range(10)]
            assert "bridge.broker.polls" in worker.text()
        emitter.close()
    # The machine may be busy for most of them.
    assert sorted(waits_s)[2] < 0.2


def _seconds_to_publish(emitter: Emitter, client: redis.Redis) -> float:
    user_id = uuid4()
    begin = time.monotonic()
    emitter.emit(Moody(user_id=user_id))
    wait_until(lambda: client.exists(f"sse:stream:user:{{{user_id}}}"), what="published")
    return time.monotonic() - begin


def test_a_time_limit_that_strikes_while_redis_stands_still_loses_nothing(broker, store, tmp_path) -> None:
    settings = _settings(broker, store)
    # An answer is waited for again and again, on new connections, before the message is returned.
    hasty = {"BRIDGE_TASK_TIME_LIMIT_S": "4", "BRIDGE_REDIS_URL": f"{settings.redis_url}?socket_timeout=0.5"}
    environment = {**_environment(settings, tmp_path), **hasty}
    with running_worker(tmp_path, environment) as worker:
        assert store.pid is not None
        os.kill(store.pid, signal.SIGSTOP)
        try:
            _emit(settings, 3)
            wait_until(lambda: "bridge.message.returned" in worker.text(), what="time ran out")
        finally:
            os.kill(store.pid, signal.SIGCONT)
        _wait_published(settings, 3)
        _alive(worker)
        with connect(settings) as client:
            assert Counts(client).read()["dead"] == 0
