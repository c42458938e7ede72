"""The same worker with RabbitMQ as its broker: quorum queues, confirmed publishes, retries through Redis."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from bridge import Emitter, Settings
from bridge.embedded.server import EmbeddedServer
from bridge.store import Counts, connect
from tests.support.moody_catalog import Moody, registry
from tests.support.rabbitmq import running_rabbitmq
from tests.support.waiting import wait_until
from tests.support.worker import running_worker


@pytest.fixture(scope="module")
def amqp_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield url


def test_events_travel_through_rabbitmq(
    amqp_url: str, redis_server: EmbeddedServer, redis_url: str, tmp_path: Path
) -> None:
    environment = {
        "BRIDGE_BROKER_URL": amqp_url,
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    settings = Settings(broker_url=amqp_url, redis_url=redis_url)
    user_id = uuid4()
    with running_worker(tmp_path, environment) as worker:
        emitter = Emitter(settings, registry)
        emitter.emit_many([Moody(user_id=user_id, number=number) for number in range(600)])
        emitter.emit(Moody(user_id=user_id, mode="fail", times=1))
        emitter.emit(Moody(user_id=user_id, mode="permanent"))
        assert emitter.flush(10)
        client = connect(settings)
        counts = Counts(client)
        wait_until(
            lambda: counts.read() | {"retried": 1} == counts.read() and counts.read()["published"] == 601,
            timeout_s=20,
            what="601 published and one retried",
        )
        assert counts.read()["dead"] == 1
        emitter.close()
        client.close()
        assert "delayed" not in worker.text()
