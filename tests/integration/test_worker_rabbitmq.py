"""The same worker with RabbitMQ as its broker: quorum queues, confirmed publishes, retries through Redis."""

from pathlib import Path
from uuid import UUID, uuid4

from kombu import Connection
from kombu.message import Message

from bridge import Emitter, Settings
from bridge.amqp_adapter.kombu_options import queue
from bridge.celery_runtime.kombu_messages import raw_bytes
from bridge.local.redis_server import EmbeddedServer
from bridge.messages import TaskMessage
from bridge.model.bounds import RETURNS_MAX
from bridge.operations.letters import every_letter
from bridge.operations.search import holds
from bridge.redis_adapter import DeadLetters, connect
from bridge.wiring import open_queue
from tests.support.counts import Counts
from tests.support.items import body_of
from tests.support.letters import QUEUE, TASK, a_letter
from tests.support.moody_catalog import Moody, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker


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
        assert emitter.flush(WAIT_S)
        client = connect(settings)
        counts = Counts(client)
        wait_until(
            lambda: counts.read() | {"retried": 1} == counts.read() and counts.read()["published"] == 601,
            what="601 published and one retried",
        )
        assert counts.read()["dead"] == 1
        emitter.close()
        client.close()
        assert "delayed" not in worker.text()


def test_a_compressed_message_is_kept_so_that_it_can_be_read(
    amqp_url: str, redis_server: EmbeddedServer, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings(broker_url=amqp_url, redis_url=redis_url)
    envelope = b'{"id":"%s","text":"%s"}'
    ids = [uuid4() for _ in range(200)]
    message = TaskMessage(
        task="bridge.Unheard",
        queue="bridge.moods",
        envelopes=[envelope % (str(event_id).encode(), b"x" * 100) for event_id in ids],
        event_ids=b"".join(event_id.bytes for event_id in ids),
    )
    environment = {
        "BRIDGE_BROKER_URL": amqp_url,
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
    }
    client = connect(settings)
    letters = DeadLetters(client, settings)
    with running_worker(tmp_path, environment):
        sender = open_queue(settings, registry)
        sender.send([message])
        sender.close()
        wait_until(lambda: letters.count() == 1, what="it is quarantined")
    (letter,) = every_letter(letters)
    assert body_of(letter.raw) == message.body()
    assert all(holds(letter, event_id) for event_id in ids)
    client.close()


def test_a_message_that_comes_back_has_the_bytes_that_it_had(amqp_url: str) -> None:
    """Otherwise a worker that dies while it quarantines leaves two letters of one message."""
    with Connection(amqp_url) as connection:
        channel = connection.channel()
        junk = queue(Settings(broker_url=amqp_url, redis_url="redis://127.0.0.1:1"), "bridge.junk")(channel)
        junk.declare()
        connection.Producer(channel).publish(
            "junk", exchange="", routing_key="bridge.junk", headers={"x-mine": 1, "task": "a", "id": "b"}
        )
        seen = []
        for _ in range(3):
            wait_until(lambda: seen.append(junk.get()) or seen[-1], what="it is delivered")  # type: ignore[func-returns-value]
            seen[-1].requeue()
        messages: list[Message] = [message for message in seen if message]
        assert messages[-1].headers["x-delivery-count"] == 2
        assert len({raw_bytes(message) for message in messages}) == 1
        assert b"x-mine" in raw_bytes(messages[0])


def given_back(url: str, message: TaskMessage, times: int) -> None:
    """Put a message on its queue, as if it had come back from workers so often."""
    with Connection(url) as connection:
        channel = connection.channel()
        wanted = queue(Settings(broker_url=url, redis_url="redis://127.0.0.1:1"), message.queue)(channel)
        wanted.declare()
        connection.Producer(channel).publish(
            message.body(),
            exchange="",
            routing_key=message.queue,
            headers=message.headers(announced=False),
            content_type="application/json",
            content_encoding="utf-8",
        )
        taken: list[Message] = []
        while len(taken) < times:
            wait_until(lambda: (came := wanted.get()) and not taken.append(came), what="it is delivered")
            taken[-1].requeue()


def a_message(user_id: UUID) -> TaskMessage:
    letter = a_letter(user_id=user_id)
    return TaskMessage(task=TASK, queue=QUEUE, envelopes=[letter.envelope.encode()])


def test_a_message_ends_before_rabbitmq_drops_it(amqp_url, redis_server, redis_url, tmp_path: Path) -> None:
    settings = Settings(broker_url=amqp_url, redis_url=redis_url)
    environment = {
        "BRIDGE_BROKER_URL": amqp_url,
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    given_back(amqp_url, a_message(uuid4()), RETURNS_MAX)
    with connect(settings) as client:
        letters = DeadLetters(client, settings)
        client.client_pause(60_000, all=False)  # it takes no writes when the worker meets the message
        with running_worker(tmp_path, environment) as worker:
            wait_until(lambda: "bridge.message.held" in worker.text(), what="it is held")
            client.client_unpause()
            wait_until(lambda: letters.count() == 1, what="it is a dead letter")
            given_back(amqp_url, a_message(uuid4()), 0)
            wait_until(lambda: Counts(client).read()["published"] == 1, what="others are published")
        (letter,) = every_letter(letters)
        assert "came back 15 times" in letter.failure.message


def test_a_message_that_came_back_a_few_times_is_published(amqp_url, redis_server, redis_url, tmp_path: Path) -> None:
    environment = {
        "BRIDGE_BROKER_URL": amqp_url,
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    given_back(amqp_url, a_message(uuid4()), RETURNS_MAX - 1)
    with connect(Settings(broker_url=amqp_url, redis_url=redis_url)) as client, running_worker(tmp_path, environment):
        wait_until(lambda: Counts(client).read().get("published") == 1, what="it is published")
