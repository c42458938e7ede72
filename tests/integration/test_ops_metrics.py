"""The numbers that ``/metrics`` gives after real workers ran a mix of outcomes, under every pool."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge import Emitter
from bridge.operations.status import StatusReader
from bridge.ops import create_ops_app
from bridge.redis_adapter import connect, read_balance
from bridge.settings import Settings
from bridge.wiring import open_store
from tests.support.moody_catalog import Announced, Moody, registry
from tests.support.ops import AppClient
from tests.support.rabbitmq import running_rabbitmq
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def emitter(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emitter]:
    monkeypatch.setenv("MOODY_DIR", str(tmp_path))
    emitter = Emitter(settings, registry)
    yield emitter
    emitter.close()


def scrape(settings: Settings) -> Samples:
    text = AppClient(create_ops_app(settings, registry)).get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def outcome(
    name: str, event_type: str = "mood.shown", category: str = "moods"
) -> tuple[str, tuple[tuple[str, str], ...]]:
    return ("bridge_events_total", (("category", category), ("outcome", name), ("type", event_type)))


@pytest.mark.parametrize("pools", [("prefork",), ("solo",), ("prefork", "solo")])
def test_counters_are_those_of_all_processes(
    settings: Settings, tmp_path: Path, emitter: Emitter, pools: tuple[str, ...]
) -> None:
    environment = {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": os.environ["MOODY_DIR"],
    }
    events = [
        *(Moody(user_id=uuid4()) for _ in range(200)),
        *(Moody(user_id=None) for _ in range(3)),
        *(Moody(user_id=uuid4(), mode="fail", times=1) for _ in range(4)),
        *(Moody(user_id=uuid4(), mode="permanent") for _ in range(2)),
        Announced(user_id=None, text="hello"),
    ]
    folders = [tmp_path / pool for pool in pools]
    for folder in folders:
        folder.mkdir()
    workers = [running_worker(f, environment, "-P", pool, "-c", "2") for f, pool in zip(folders, pools, strict=True)]
    client = connect(settings)
    for worker in workers:
        worker.__enter__()
    try:
        for event in events:
            emitter.emit(event)
        wait_until(lambda: read_balance(client).ended + read_balance(client).dead == len(events), what="all ended")
        wait_until(lambda: scrape(settings)["bridge_healthy", ()] == 1, what="every worker reported its queues")
        found = scrape(settings)
        assert found[outcome("published")] == 204
        assert found[outcome("published", "news.announced", "news")] == 1
        assert found[outcome("skipped")] == 3
        assert found[outcome("retried")] == 4
        assert found[outcome("dead")] == 2
        assert found["bridge_events_accepted_total", ()] == len(events)
        assert found["bridge_events_open", ()] == found["bridge_books_difference", ()] == 0
        assert found["bridge_dead_letters", ()] == found["bridge_dead_events", ()] == 2
        assert found["bridge_queue_depth", (("queue", "bridge.moods"),)] == 0
        assert found["bridge_workers", (("state", "consuming"),)] == len(pools)
        assert found["bridge_store_up", ()] == 1
        assert found["bridge_publish_delay_seconds_count", ()] == 205
        assert 0 < found["bridge_publish_delay_seconds_sum", ()] < 205 * 30
        # Every attempt, whatever became of it; four events had two.
        assert found["bridge_extract_seconds_count", ()] == len(events) + 4
    finally:
        for worker in workers:
            worker.__exit__(None, None, None)


@pytest.mark.parametrize("prefix", ["", "team:"])
def test_a_queue_on_redis_tells_its_depth_and_the_age_of_its_head(settings: Settings, prefix: str) -> None:
    settings = Settings(broker_url=settings.broker_url, broker_keyprefix=prefix)
    with closing(Emitter(settings, registry)) as emitter:
        for _ in range(3):
            emitter.emit(Moody(user_id=uuid4()))
            assert emitter.flush(WAIT_S)
    head = connect(settings).lindex(f"{prefix}bridge.moods", -1)
    assert head is not None
    queues = {
        queue.name: queue
        for queue in StatusReader(open_store(settings, briefly=True), settings, registry).read().queues
    }
    assert queues["bridge.moods"].depth == 3
    age_s = queues["bridge.moods"].oldest_age_s
    assert age_s is not None
    assert 0 <= age_s < 10
    assert (queues["bridge.news"].depth, queues["bridge.news"].oldest_age_s) == (0, None)


def test_what_is_no_message_has_no_age(settings: Settings) -> None:
    client = connect(settings)
    client.rpush("bridge.moods", b"\xff not a message")
    client.rpush("bridge.news", b'{"headers": {"id": "no uuid"}}')
    queues = StatusReader(open_store(settings, briefly=True), settings, registry).read().queues
    assert [(queue.depth, queue.oldest_age_s) for queue in queues] == [(1, None), (1, None)]


def test_a_queue_on_rabbitmq_tells_its_depth_and_age(settings: Settings, tmp_path: Path) -> None:
    with running_rabbitmq(tmp_path) as url:
        settings = Settings(broker_url=url, redis_url=settings.broker_url)
        with closing(Emitter(settings, registry)) as emitter:
            emitter.emit(Moody(user_id=uuid4()))
            assert emitter.flush(WAIT_S)
        reader = StatusReader(open_store(settings, briefly=True), settings, registry)
        wait_until(lambda: reader.read().queues[0].depth == 1, what="RabbitMQ counts it")
        moods, news = reader.read().queues
        assert moods.oldest_age_s is not None
        assert moods.oldest_age_s < 60
        assert (news.depth, news.oldest_age_s) == (0, None)
        assert reader.read().claimed is None
        environment = {
            "BRIDGE_BROKER_URL": url,
            "BRIDGE_REDIS_URL": settings.redis_url,
            "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
            "MOODY_DIR": str(tmp_path),
        }
        with running_worker(tmp_path, environment):
            wait_until(lambda: reader.read().healthy and not reader.read().queues[0].depth, what="healthy and empty")
    assert "The broker did not answer" in reader.read().faults[0].sentence
