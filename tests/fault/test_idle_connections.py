"""Redis' own `timeout` cuts what is silent, and a crash breaks all: a living worker neither repeats nor waits."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from bridge.settings import Settings
from tests.support.counts import Counts
from tests.support.moody_catalog import attempts_of
from tests.support.own_redis import RedisServer, running_redis
from tests.support.timed_catalog import Lasting, Quick, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

REGISTRY = "tests.support.timed_catalog:registry"
IDLE_S = 2
LASTS_S = 7.0
RESTARTED = "Connection to broker lost"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis("--timeout", str(IDLE_S)) as server:
        yield server


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    return {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REGISTRY": REGISTRY, "MOODY_DIR": str(folder)}


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_message_in_work_is_run_once_although_redis_cuts_idle_connections(
    server: RedisServer, tmp_path: Path, pool: str
) -> None:
    settings = Settings(broker_url=server.url)
    emitter = Emitter(settings, registry)
    with running_worker(tmp_path, _environment(settings, tmp_path), "-P", pool) as worker, connect(settings) as client:
        counts = Counts(client)
        lasting = Lasting(user_id=uuid4(), lasts_s=LASTS_S)
        emitter.emit(lasting)
        wait_until(lambda: counts.read()["published"] == 1, what="it is published")
        assert attempts_of(tmp_path, lasting.event_id) == 1
        emitter.emit(Quick(user_id=uuid4()))
        wait_until(lambda: counts.read()["published"] == 2, what="the next one is published")
        wait_until(lambda: not client.exists("unacked"), what="all is acknowledged")
        assert RESTARTED not in worker.text(), worker.text()
    emitter.close()


def test_a_worker_that_only_waits_stays_connected(server: RedisServer, tmp_path: Path) -> None:
    settings = Settings(broker_url=server.url)
    with running_worker(tmp_path, _environment(settings, tmp_path)) as worker, server.client() as client:
        until = time.monotonic() + 2 * IDLE_S + 1
        wait_until(lambda: time.monotonic() > until, what="time goes by")
        assert RESTARTED not in worker.text()
        assert any(one["flags"].find("B") >= 0 or one["flags"].find("t") >= 0 for one in client.client_list())


def test_what_a_living_worker_held_when_redis_crashed_does_not_wait(tmp_path: Path) -> None:
    with EmbeddedServer() as server:
        settings = Settings(broker_url=server.url, visibility_timeout_s=300)
        emitter = Emitter(settings, registry)
        lasting = Lasting(user_id=uuid4(), lasts_s=4.0)
        others = [Lasting(user_id=uuid4(), lasts_s=0.2) for _ in range(5)]
        with running_worker(tmp_path, _environment(settings, tmp_path), "--concurrency=1") as worker:
            emitter.emit(lasting)
            wait_until(lambda: attempts_of(tmp_path, lasting.event_id), what="it runs")
            for other in others:
                emitter.emit(other)
                assert emitter.flush(WAIT_S)
            with redis.Redis(port=server.port) as direct:
                wait_until(lambda: direct.hlen("unacked") >= 2, what="the worker holds more than it runs")
            os.kill(server.pid or 0, signal.SIGKILL)
            server.kill()
            server.start()
            with connect(settings) as client:
                wait_until(
                    lambda: Counts(client).read()["published"] == 6,
                    what=f"all are published {worker.text()[-2000:]}",
                )
                wait_until(lambda: not client.exists("unacked"), what="all is acknowledged")
                for event in (lasting, *others):
                    assert client.xlen(f"sse:stream:user:{{{event.user_id}}}") == 1
            # Redis that comes back is another server to a worker: what ran meanwhile runs once more, and is recognised.
            assert attempts_of(tmp_path, lasting.event_id) <= 2
            assert {attempts_of(tmp_path, other.event_id) for other in others} == {1}
        emitter.close()
