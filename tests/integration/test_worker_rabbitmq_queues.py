"""A queue of RabbitMQ that is not as the bridge declares it, or is gone, holds up no other and loses nothing."""

from uuid import uuid4

import pytest
import redis
from kombu import Connection

from bridge import Settings
from bridge.operations.status import StatusReader
from bridge.redis_adapter import read_balance
from bridge.wiring import open_store
from tests.support.moody_catalog import Announced, Moody, registry
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, running_worker

MOODS, NEWS = "bridge.moods", "bridge.news"


@pytest.fixture
def settings(rabbitmq: RabbitMQ, redis_url: str) -> Settings:
    """Without any queue."""
    with Connection(rabbitmq.url) as connection:
        for name in registry.queues:
            connection.default_channel.queue_delete(name)
    return Settings(broker_url=rabbitmq.url, redis_url=redis_url)


def a_classic_queue(url: str, name: str, **arguments: object) -> None:
    with Connection(url) as connection:
        connection.default_channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)


def published(client: redis.Redis) -> int:
    return read_balance(client).published


def faults(settings: Settings) -> str:
    with open_store(settings, briefly=True) as store:
        return " ".join(fault.sentence for fault in StatusReader(store, settings, registry).read().faults)


@pytest.mark.parametrize("arguments", [{}, {"x-queue-type": "stream"}], ids=["classic", "stream"])
def test_the_other_queues_are_consumed_and_it_is_named(arguments, emitter, settings, environment, client, tmp_path):
    a_classic_queue(settings.broker_url, MOODS, **arguments)
    emitter.emit_many([Moody(user_id=uuid4()), *(Announced(user_id=None, text=str(n)) for n in range(50))])
    assert emitter.flush(WAIT_S)
    with running_worker(tmp_path, environment) as worker:
        wait_until(lambda: published(client) == 50, what="the news is published")
        assert worker.text().count("bridge.queue.refused") == 1
        assert f"bridge.queue.refused queue={MOODS}" in worker.text()
        assert "PRECONDITION_FAILED" in worker.text()
        reader = StatusReader(open_store(settings, briefly=True), settings, registry)
        wait_until(lambda: any(f"may not consume the queue {MOODS}" in f.sentence for f in reader.read().faults))
        with Connection(settings.broker_url) as connection:
            connection.default_channel.queue_delete(MOODS)
        wait_until(lambda: reader.read().healthy, what="it is consumed")
        reader.close()
        emitter.emit(Moody(user_id=uuid4()))
        wait_until(lambda: published(client) == 51, what="a mood is published")
        assert "onnection to broker lost" not in worker.text()


def test_all_queues_are_refused_and_none_is_missed_afterwards(settings, environment, emitter, client, tmp_path) -> None:
    for name in registry.queues:
        a_classic_queue(settings.broker_url, name)
    with running_worker(tmp_path, environment) as worker:
        wait_until(lambda: worker.text().count("bridge.queue.refused") == len(registry.queues))
        with Connection(settings.broker_url) as connection:
            for name in registry.queues:
                connection.default_channel.queue_delete(name)
        emitter.emit_many([Moody(user_id=uuid4()), Announced(user_id=None, text="x")])
        wait_until(lambda: published(client) == 2, what="both are published")


def test_a_user_without_the_right_to_read_one_queue(rabbitmq, settings, environment, emitter, client, tmp_path) -> None:
    rabbitmq.add_user("worker", read=f"^(?!{NEWS}$).*")
    emitter.emit_many([Announced(user_id=None, text="x"), *(Moody(user_id=uuid4(), number=n) for n in range(50))])
    assert emitter.flush(WAIT_S)
    allowed = {**environment, "BRIDGE_BROKER_URL": settings.broker_url.replace("guest:guest", "worker:secret")}
    with running_worker(tmp_path, allowed) as worker:
        wait_until(lambda: published(client) == 50, what="the moods are published")
        assert worker.text().count("bridge.queue.refused") == 1
        assert f"bridge.queue.refused queue={NEWS}" in worker.text()
        assert "ACCESS_REFUSED" in worker.text()


def test_a_user_without_rights_is_told_of_once_and_waited_for(
    rabbitmq, settings, environment, emitter, client, tmp_path
):
    rabbitmq.add_user("nobody", configure="", write="", read="")
    assert emitter.emit(Moody(user_id=uuid4()))
    assert emitter.flush(WAIT_S)
    refused = {**environment, "BRIDGE_BROKER_URL": settings.broker_url.replace("guest:guest", "nobody:secret")}
    worker = WorkerProcess(tmp_path / "worker.log", refused)
    try:
        # It tries every second; a turn that was not waited for would be Celery's, with a traceback now and then.
        wait_until(lambda: worker.text().count("Connected to amqp") >= 8, what="it has tried again and again")
        assert worker.text().count("bridge.broker.refused") == 1
        assert "its password and its rights" in worker.text()
        assert "Traceback" not in worker.text()
        said = "consumes nothing. It may not take messages: ACCESS_REFUSED"
        wait_until(lambda: said in faults(settings), what="status names the right")
        assert "restart it" not in faults(settings)
        assert "Start one" not in faults(settings)
        rabbitmq.permit_all("nobody")
        wait_until(lambda: published(client) == 1, what="the event is published")
        worker.stop()
    finally:
        if worker.process.poll() is None:
            worker.kill()


def test_what_is_emitted_after_its_queue_was_deleted_is_not_lost(settings, environment, emitter, client, tmp_path):
    emitter.emit(Moody(user_id=uuid4()))
    assert emitter.flush(WAIT_S)
    with Connection(settings.broker_url) as connection:
        connection.default_channel.queue_delete(MOODS)  # with what is on it
    emitter.emit(Moody(user_id=uuid4()))
    assert emitter.flush(WAIT_S)
    with running_worker(tmp_path, environment):
        wait_until(lambda: published(client) == 1, what="the second is published")
