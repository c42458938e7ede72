"""A broker behind sentinels: the worker finds the master, claims from it, and publishes."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.operations.audit import Auditor
from bridge.operations.status import StatusReader
from bridge.redis_adapter import connect
from bridge.wiring import open_store, store_of
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.sentinels import MASTER, running_sentinels
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker


@pytest.fixture
def sentinel_url(redis_server: EmbeddedServer, redis_url: str, tmp_path: Path) -> Iterator[str]:
    with running_sentinels(tmp_path, redis_server.port) as sentinels:
        yield sentinels.url


def test_events_travel_through_a_master_that_sentinels_name(sentinel_url: str, redis_url: str, tmp_path: Path) -> None:
    environment = {
        "BRIDGE_BROKER_URL": sentinel_url,
        "BRIDGE_BROKER_SENTINEL_MASTER": MASTER,
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    settings = Settings(broker_url=sentinel_url, broker_sentinel_master=MASTER, redis_url=redis_url)
    emitter = Emitter(settings, registry)
    with connect(settings) as client, running_worker(tmp_path, environment) as worker:
        emitter.emit_many([Moody(user_id=uuid4(), mode="fail" if n == 0 else "ok", times=1) for n in range(300)])
        assert emitter.flush(WAIT_S)
        wait_until(lambda: Counts(client).read()["published"] == 300, what="300 published")
        wait_until(lambda: not client.exists("unacked"), what="all acknowledged")
        assert "bridge-sentinel://" in worker.text()
        status = StatusReader(open_store(settings, briefly=True), settings, registry).read()
        assert (status.healthy, status.claimed, [queue.depth for queue in status.queues]) == (True, 0, [0, 0])
    emitter.close()


def test_an_audit_looks_into_queues_behind_sentinels(sentinel_url: str, redis_url: str) -> None:
    settings = Settings(
        broker_url=sentinel_url, broker_sentinel_master=MASTER, redis_url=redis_url, broker_keyprefix="theirs:"
    )
    emitter = Emitter(settings, registry)
    assert emitter.emit(Moody(user_id=uuid4()))
    assert emitter.flush(WAIT_S)
    with connect(settings) as client:
        auditor = Auditor(store_of(client, settings), settings, registry)
        assert client.exists("theirs:bridge.moods")
        assert auditor.audit(grace_s=0).clean
        client.delete("theirs:bridge.moods")
        assert auditor.audit(grace_s=0).missing == 1
    emitter.close()
