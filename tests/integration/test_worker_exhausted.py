"""A process of the pool that can open nothing any more: it ends, and what it ran is run by another."""

from pathlib import Path
from uuid import uuid4

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
