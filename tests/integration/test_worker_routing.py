"""Retries and messages that nobody would read: routed by the registry of today, brought in, or kept with the cause."""

import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis
from celery import Celery

from bridge import DomainEvent, Settings, User
from bridge.model.pipeline import EventCodec, Failure, Stage
from bridge.model.retry import Attempt, RetryRecord
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, RetrySet, Workers, read_balance
from tests.support import keys
from tests.support.skewed_catalogs import New, Old
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

CATALOGS = "tests.support.skewed_catalogs"


def environment(settings: Settings, catalog: str) -> dict[str, str]:
    return {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REGISTRY": f"{CATALOGS}:{catalog}"}


def envelope_of(event: DomainEvent) -> str:
    return EventCodec(type(event)).encode(event, source="test").decode()


def wait_for_a_retry(client: redis.Redis, settings: Settings, event: DomainEvent) -> None:
    """An event that failed once, under the catalog ``old``."""
    failure = Failure(stage=Stage.EXTRACT, error_class="ValueError", message="not yet")
    record = RetryRecord(
        event_id=str(event.event_id),
        task="bridge.OrderPlaced",
        queue="bridge.orders",
        envelope=envelope_of(event),
        attempts=(Attempt(number=1, at="2026-01-01T00:00:00+00:00", failure=failure),),
    )
    RetrySet(client, settings).add([(record, 0)])


def test_a_retry_goes_to_the_queue_that_its_task_has_today(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    wait_for_a_retry(client, settings, Old.OrderPlaced(user_id=user, number=1))
    with running_worker(tmp_path, environment(settings, "renamed")):
        wait_until(lambda: client.xlen(keys.stream(User(user))) == 1, what="it is published")
    assert not client.llen("bridge.orders")


def test_a_retry_whose_task_is_gone_is_buried_with_the_cause(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    event = Old.OrderPlaced(user_id=uuid4(), number=1)
    wait_for_a_retry(client, settings, event)
    letters = DeadLetters(client, settings)
    with running_worker(tmp_path, environment(settings, "without")) as worker:
        wait_until(letters.count, what="it is buried")
        (letter,) = every_letter(letters)
        assert (letter.letter_id, letter.task) == (str(event.event_id), "bridge.OrderPlaced")
        assert "bridge.OrderPlaced" in letter.failure.message
        assert str(event.event_id) in letter.envelope
        assert not client.exists(keys.RETRY_DUE, keys.RETRY_RECORDS)
        assert str(event.event_id) in worker.text()
    assert not read_balance(client).difference


def test_an_older_worker_leaves_a_retry_to_the_newer_one_that_knows_it(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    with (
        running_worker(tmp_path, environment(settings, "without"), "-n", "without@%h", name="without"),
        running_worker(tmp_path, environment(settings, "old"), "-n", "old@%h", name="old"),
    ):
        wait_until(lambda: len(Workers(client).known()) == 2, what="both report")
        for number in range(10):
            wait_for_a_retry(client, settings, Old.OrderPlaced(user_id=user, number=number))
        wait_until(lambda: client.xlen(keys.stream(User(user))) == 10, what="all are published")
    assert not DeadLetters(client, settings).count()


@pytest.mark.parametrize("priority", [3, 5, 9])
def test_a_message_with_a_priority_of_stock_celery_is_published(
    settings: Settings, client: redis.Redis, tmp_path: Path, priority: int
) -> None:
    user: UUID = uuid4()
    app = Celery(broker=settings.broker_url)
    with running_worker(tmp_path, environment(settings, "new")) as worker:
        for number in range(5):
            envelope = envelope_of(New.ParcelSent(user_id=user, number=number))
            app.send_task("bridge.ParcelSent", args=[[json.loads(envelope)]], queue="bridge.parcels", priority=priority)
        wait_until(lambda: client.xlen(keys.stream(User(user))) == 5, what="all are published")
        wait_until(lambda: worker.text().count("bridge.foreign.priority") == 1, what="it is said, once")
    app.close()


def test_what_stock_celery_asks_for_and_the_bridge_does_not_do_is_told_once(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    app = Celery(broker=settings.broker_url)
    with running_worker(tmp_path, environment(settings, "new")) as worker:
        for number in range(4):
            envelope = json.loads(envelope_of(New.ParcelSent(user_id=user, number=number)))
            app.send_task("bridge.ParcelSent", args=[[envelope]], queue="bridge.parcels", countdown=3600, expires=7200)
        wait_until(lambda: client.xlen(keys.stream(User(user))) == 4, what="all are published")
        assert worker.text().count("bridge.foreign.eta") == worker.text().count("bridge.foreign.expires") == 1
    app.close()
