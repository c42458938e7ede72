"""Processes of the pool that must end: one that can open nothing any more, one that an extractor forked."""

from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker


def test_a_process_without_files_is_replaced(
    redis_server: EmbeddedServer, redis_client: redis.Redis, tmp_path: Path
) -> None:
    environment = {
        "BRIDGE_BROKER_URL": redis_server.url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    emitter = Emitter(Settings(broker_url=redis_server.url), registry)
    with running_worker(tmp_path, environment, "--concurrency=1") as worker:
        assert emitter.emit(Moody(user_id=uuid4(), mode="leaky", times=1))
        assert emitter.flush(WAIT_S)
        wait_until(lambda: Counts(redis_client).read()["published"] == 1, what="another process publishes it")
        assert "bridge.process.exhausted" in worker.text()
        assert "bridge.message.returned" not in worker.text()
    emitter.close()


@pytest.mark.parametrize("mode", ["forking", "forking and raising", "forking and leaving"])
def test_a_child_that_an_extractor_forked_does_not_go_on_as_its_parent(
    mode: str, redis_server: EmbeddedServer, redis_client: redis.Redis, tmp_path: Path
) -> None:
    environment = {
        "BRIDGE_BROKER_URL": redis_server.url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    emitter = Emitter(Settings(broker_url=redis_server.url), registry)
    with running_worker(tmp_path, environment, "--concurrency=2") as worker:
        emitter.emit_many(Moody(user_id=uuid4(), mode=one, times=1) for one in ["ok"] * 50 + [mode] + ["ok"] * 50)
        assert emitter.flush(WAIT_S)
        wait_until(lambda: Counts(redis_client).read()["published"] == 101, what="each is published")
        wait_until(lambda: "bridge.process.forked" in worker.text(), what="the child is ended")
    counts = Counts(redis_client).read()
    assert (counts["published"], counts["accepted"], counts["dead"], counts["retried"]) == (101, 101, 0, 0), counts
    emitter.close()
