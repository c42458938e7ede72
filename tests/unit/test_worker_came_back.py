"""Messages that came back: what counts against them, and what does not."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.celery_runtime import task as task_module
from bridge.celery_runtime.consumer import HELD_FACTOR, BridgeConsumer
from bridge.celery_runtime.task import BridgeTask, WrittenElsewhere
from bridge.messages.queue_item import DELIVERIES_HEADER
from bridge.model.bounds import RETURNS_MAX
from bridge.model.errors import DecodeError, StoreUnavailableError
from bridge.settings import Settings
from bridge.testing.operators import MemoryMasterWatch
from bridge.worker import create_app

NAME = "bridge.FileImportFailed"


def check(**headers: Any) -> None:
    message = SimpleNamespace(headers={"id": str(uuid4()), "task": NAME, **headers}, payload=[[[]], {}, {}])
    BridgeConsumer._check(SimpleNamespace(_tasks={NAME}, _delivery_max=5), message)


def test_what_rabbitmq_counts_condemns_nobody_until_it_would_drop_the_message() -> None:
    """It counts what we gave back as well."""
    check(**{"x-delivery-count": RETURNS_MAX - 1})
    with pytest.raises(DecodeError, match="RabbitMQ would drop it soon"):
        check(**{"x-delivery-count": RETURNS_MAX})


def test_a_count_that_is_none_condemns_nobody() -> None:
    check(**{"x-delivery-count": "many"})


def test_a_message_that_no_worker_could_even_start_is_put_aside_at_last() -> None:
    check(**{DELIVERIES_HEADER: HELD_FACTOR * 5 - 1})
    with pytest.raises(DecodeError, match="none could start it"):
        check(**{DELIVERIES_HEADER: HELD_FACTOR * 5})


class AwayHandler:
    """A handler, and its counts of starts, whose Redis is away for its first runs."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.starts = self
        self.calls: list[str] = []

    def add(self, message_id: str) -> int:
        self.calls.append("start")
        return 1

    def run(self, jobs: list[object]) -> int:
        self.calls.append("run")
        if self.calls.count("run") <= self.failures:
            raise StoreUnavailableError
        return len(jobs)

    def forget(self, message_id: str) -> None:
        self.calls.append("forget")

    def take_back(self, message_id: str) -> None:
        self.calls.append("forgive")


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Iterator[BridgeTask]:
    monkeypatch.setattr(task_module, "STORE_WAIT_FIRST_S", 0.001)
    yield create_app(Settings(), REGISTRY).tasks[NAME]


@pytest.mark.parametrize(
    ("headers", "calls"),
    [({}, ["run", "run", "run"]), ({DELIVERIES_HEADER: 1}, ["start", "run", "run", "run", "forget"])],
)
def test_a_start_counts_once_however_long_redis_is_waited_for(
    task: BridgeTask, headers: dict[str, int], calls: list[str]
) -> None:
    handler = AwayHandler(failures=2)
    task.handler = handler  # type: ignore[assignment]
    task.push_request(id=str(uuid4()), **headers)
    try:
        task.handle([])
    finally:
        task.pop_request()
    assert handler.calls == calls


@pytest.mark.parametrize(("headers", "calls"), [({}, ["run"]), ({DELIVERIES_HEADER: 1}, ["start", "run", "forgive"])])
def test_what_was_written_elsewhere_than_it_was_claimed_goes_back_and_counts_for_nothing(
    task: BridgeTask, headers: dict[str, int], calls: list[str]
) -> None:
    task.handler = handler = AwayHandler(failures=0)  # type: ignore[assignment]
    task.master = MemoryMasterWatch()
    task.master.elsewhere = True
    task.push_request(id=str(uuid4()), **headers)
    try:
        with pytest.raises(WrittenElsewhere) as raised:
            task.handle([])
    finally:
        task.pop_request()
    assert raised.value.requeue
    assert handler.calls == calls
