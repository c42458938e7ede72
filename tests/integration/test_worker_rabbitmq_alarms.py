"""A RabbitMQ that is short of memory or disk: what is on its queues is worked off, and what comes meanwhile waits."""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import Emitter, Settings
from bridge.amqp_adapter.task_queue import BLOCKED
from bridge.operations.status import StatusReader
from bridge.redis_adapter import read_balance
from bridge.wiring import open_store
from tests.support import keys
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.rabbitmq import RabbitMQ, running_server
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

BACKLOG = 400


@pytest.fixture
def settings(rabbitmq: RabbitMQ, redis_url: str) -> Settings:
    """One message an event."""
    return Settings(broker_url=rabbitmq.url, redis_url=redis_url, emit_batch_max=1)


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A broker of its own: an alarm is the whole server's."""
    with running_server(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


def published(client: redis.Redis, user_id: UUID) -> list[int]:
    """The numbers in a user's stream, in order."""
    entries = client.xrange(f"sse:stream:user:{{{user_id}}}")
    return sorted(int(fields[b"data"].split(b'"number":')[1].split(b",")[0]) for _, fields in entries)


def events(user_id: UUID, numbers: range, mode: str = "ok") -> list[Moody]:
    return [Moody(user_id=user_id, number=number, mode=mode, times=1) for number in numbers]


@pytest.mark.parametrize(("kind", "options"), [("memory", ["-E"]), ("memory", ["-P", "solo"]), ("disk", [])])
def test_a_backlog_is_worked_off_and_new_events_wait(
    kind: str,
    options: list[str],
    rabbitmq: RabbitMQ,
    emitter: Emitter,
    environment: dict[str, str],
    client: redis.Redis,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    user_id = uuid4()
    with running_worker(tmp_path, environment, *options) as worker:
        # The worker's own connections have sent something before, as they have after a while.
        wait_until(lambda: client.hlen(keys.WORKERS), what="the worker has reported")
        worker.pause()
        emitter.emit_many(events(user_id, range(BACKLOG)))
        assert emitter.flush(WAIT_S)
        with rabbitmq.alarm(kind):
            worker.resume()
            wait_until(lambda: published(client, user_id) == list(range(BACKLOG)), what="it is worked off")
            with caplog.at_level(logging.WARNING):
                emitter.emit_many(events(user_id, range(BACKLOG, BACKLOG + 100)))
                wait_until(lambda: BLOCKED in caplog.text, what="the producer says why it waits")
            wait_until(lambda: f"monitoring.paused: {BLOCKED}" in worker.text(), what="the worker notices")
            wait_until(lambda: loop_age_s(client) < 2, what="its loop turns all the same")
        assert emitter.flush(WAIT_S)
        wait_until(lambda: read_balance(client).published == BACKLOG + 100, what="all arrive")
        wait_until(lambda: "monitoring.resumed" in worker.text(), what="the worker is heard again")
    assert published(client, user_id) == list(range(BACKLOG + 100))
    assert read_balance(client).balanced


def test_a_worker_that_starts_meanwhile_works_the_backlog_off_and_the_status_says_why_no_more_comes(
    rabbitmq, emitter, settings, environment, client, tmp_path
) -> None:
    user_id = uuid4()
    emitter.emit_many(events(user_id, range(BACKLOG)))
    assert emitter.flush(WAIT_S)
    reader = StatusReader(open_store(settings, briefly=True), settings, registry)
    with ExitStack() as alarm:
        alarm.enter_context(rabbitmq.alarm("memory"))
        with running_worker(tmp_path, environment):
            wait_until(lambda: read_balance(client).published == BACKLOG, what="it is worked off")
            wait_until(lambda: BLOCKED in faults(reader), what="the status says that the broker is blocked")
            alarm.close()
            wait_until(lambda: BLOCKED not in faults(reader), what="the status forgets it")
    reader.close()


def faults(reader: StatusReader) -> list[str]:
    return [fault.sentence for fault in reader.read().faults]


def test_retries_wait_and_are_moved_afterwards(rabbitmq, emitter, environment, client, tmp_path) -> None:
    user_id = uuid4()
    with running_worker(tmp_path, environment) as worker:
        worker.pause()
        emitter.emit_many(events(user_id, range(BACKLOG), "fail"))
        assert emitter.flush(WAIT_S)
        with rabbitmq.alarm("memory"):
            worker.resume()
            wait_until(lambda: "retries.stalled" in worker.text(), what="the mover stands still")
            wait_until(lambda: Counts(client).read().get("retried") == BACKLOG, what="each has failed once")
        wait_until(lambda: read_balance(client).published == BACKLOG, what="all arrive")
        assert f"retries.stalled: {BLOCKED}" in worker.text()
    assert published(client, user_id) == list(range(BACKLOG))
    assert read_balance(client).balanced


def loop_age_s(client: redis.Redis) -> float:
    (record,) = client.hvals(keys.WORKERS)
    return float(json.loads(record.partition(b" ")[2])["loop_age_s"])
