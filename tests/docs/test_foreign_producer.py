"""The producer of docs/wire-format.md, which knows Celery only, on each broker, whoever comes first."""

from pathlib import Path

import pytest
import redis
from kombu import Connection

from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import read_balance
from tests.docs.test_readme import blocks, run
from tests.support.waiting import wait_until
from tests.support.worker import ROOT, running_worker

QUEUE = "bridge.import"
[SNIPPET] = blocks(ROOT / "docs" / "wire-format.md", "python")


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest, redis_url: str) -> str:
    """Without the queue."""
    if request.param == "redis":
        return redis_url
    url: str = request.getfixturevalue("amqp_url")
    with Connection(url) as connection:
        connection.default_channel.queue_delete(QUEUE)
    return url


@pytest.fixture
def environment(broker_url: str, redis_url: str) -> dict[str, str]:
    return {"BRIDGE_BROKER_URL": broker_url, "BRIDGE_REDIS_URL": redis_url}


def wait_until_published(client: redis.Redis, number: int) -> None:
    wait_until(lambda: read_balance(client).published == number, what=f"{number} are published")


def test_the_worker_comes_first(environment, broker_url, redis_server: EmbeddedServer, tmp_path: Path) -> None:
    with redis.Redis.from_url(redis_server.url) as client, running_worker(tmp_path, environment):
        for number in (1, 2):
            run(SNIPPET, broker_url)
            wait_until_published(client, number)


def test_the_producer_comes_first(environment, broker_url, redis_server: EmbeddedServer, tmp_path: Path) -> None:
    run(SNIPPET, broker_url)
    with redis.Redis.from_url(redis_server.url) as client, running_worker(tmp_path, environment) as worker:
        run(SNIPPET, broker_url)
        wait_until_published(client, 2)
        assert "refused" not in worker.text()


@pytest.mark.parametrize("option", ["countdown=3600", "expires=3600", "priority=5", "eta=datetime.now(UTC)"])
def test_what_it_says_about_time_and_rank_drops_and_delays_nothing(
    option, amqp_url, redis_url, redis_server, tmp_path: Path
) -> None:
    with Connection(amqp_url) as connection:
        connection.default_channel.queue_delete(QUEUE)
    run(SNIPPET.replace("queue=queue)", f"queue=queue, {option})"), amqp_url)
    environment = {"BRIDGE_BROKER_URL": amqp_url, "BRIDGE_REDIS_URL": redis_url}
    with redis.Redis.from_url(redis_server.url) as client, running_worker(tmp_path, environment):
        wait_until_published(client, 1)
