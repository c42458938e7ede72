"""The image that we ship, between real brokers and a real Redis: does it publish, and does it stop as it should?"""

import time
from collections.abc import Iterator
from uuid import UUID

import docker
import pytest
import redis
from pytest_celery import CeleryTestSetup
from uuid6 import uuid7

from bridge import User
from bridge.catalogs.finance.catalog import REGISTRY
from bridge.model.events import DomainEvent
from bridge.model.registry.sampling import sample_event
from bridge.producer import Emitter
from bridge.redis_adapter import connect
from bridge.settings import Settings
from tests.support import keys
from tests.support.waiting import wait_until

DEADLINE_S = 30.0
STOP_GRACE_S = 30


@pytest.fixture
def emitter(settings: Settings) -> Iterator[Emitter]:
    emitter = Emitter(settings, REGISTRY)
    yield emitter
    assert emitter.close(), "the broker did not take every event"


@pytest.fixture
def store(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as client:
        yield client


def test_every_event_of_the_catalog_arrives_once(
    celery_setup: CeleryTestSetup, emitter: Emitter, store: redis.Redis
) -> None:
    user_id = uuid7()
    events = [_event(mapping.domain_event_class, user_id) for mapping in REGISTRY.mappings]

    assert emitter.emit_many(events) == len(events)
    assert emitter.emit_many(events) == len(events), "a producer may say it twice"

    published = _published(store, user_id, count=len(events))
    expected = {str(event.event_id): REGISTRY.by_class[type(event)].sse_event_type.value for event in events}
    assert {entry["event_id"]: entry["event_type"] for entry in published} == expected
    _wait_for_counts(store, published=len(events), duplicate=len(events))
    assert len(_published(store, user_id, count=len(events))) == len(events)


def test_the_container_consumes_every_queue_as_an_ordinary_user_and_stops_when_told(
    celery_setup: CeleryTestSetup,
) -> None:
    container = docker.from_env().containers.get(celery_setup.worker.container.id)
    [consumed] = celery_setup.app.control.inspect(timeout=10, limit=1).active_queues().values()
    assert {queue["name"] for queue in consumed} == set(REGISTRY.queues)
    assert container.exec_run("id -u").output.decode().strip() == "10001"

    started = time.monotonic()
    container.stop(timeout=STOP_GRACE_S)

    assert time.monotonic() - started < STOP_GRACE_S, "it had to be killed"
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0, container.logs().decode()


def _event(event_class: type[DomainEvent], user_id: UUID) -> DomainEvent:
    """A sample of the class, for one user."""
    sample = sample_event(event_class)
    fields = {name: getattr(sample, name) for name in event_class.__dataclass_fields__}
    return event_class(**{**fields, "event_id": uuid7(), "user_id": user_id})


def _published(store: redis.Redis, user_id: UUID, *, count: int) -> list[dict[str, str]]:
    """The user's stream, once it has ``count`` entries."""
    stream = keys.stream(User(user_id))
    wait_until(lambda: store.xlen(stream) >= count, timeout_s=DEADLINE_S, what=f"{count} entries in {stream}")
    return [{name.decode(): value.decode() for name, value in entry.items()} for _, entry in store.xrange(stream)]


def _wait_for_counts(store: redis.Redis, **expected: int) -> None:
    def reached() -> bool:
        return all(int(store.hget(keys.COUNTS, name) or 0) == count for name, count in expected.items())

    wait_until(reached, timeout_s=DEADLINE_S, what=f"counts {expected}")
