"""On RabbitMQ, what a worker of an older release quarantined is sent anew, event by event, and the books follow."""

from uuid import UUID, uuid4

import pytest
import redis
from kombu import Connection

from bridge import Emitter, Settings
from bridge.amqp_adapter.kombu_options import queue
from bridge.messages import TaskMessage
from bridge.model.pipeline.envelope import EventCodec
from bridge.model.redrive import RedriveState
from bridge.operations.dry_run import Expected
from bridge.operations.letters import every_letter
from bridge.operations.redrive import Redrives
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, read_balance
from bridge.wiring import store_of
from tests.support import keys
from tests.support.skewed_catalogs import New, new
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

ALL = Selection()
TASK, QUEUE = "bridge.OrderRefunded", "bridge.orders"


@pytest.fixture
def settings(amqp_url: str, redis_url: str) -> Settings:
    return Settings(broker_url=amqp_url, redis_url=redis_url)


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REDIS_URL": settings.redis_url}


def release(name: str, environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "BRIDGE_REGISTRY": f"tests.support.skewed_catalogs:{name}"}


def published(client: redis.Redis, user_id: UUID) -> list[str]:
    return sorted(fields[b"event_id"].decode() for _, fields in client.xrange(f"sse:stream:user:{{{user_id}}}"))


def envelopes(user_id: UUID, number: int) -> tuple[list[str], list[bytes]]:
    """Ids and envelopes of refunds."""
    events = [New.OrderRefunded(user_id=user_id, number=n) for n in range(number)]
    codec = EventCodec(New.OrderRefunded)
    return [str(event.event_id) for event in events], [codec.encode(event, source="test") for event in events]


def send(settings: Settings, body: bytes, headers: dict[str, object], **properties: object) -> None:
    """As a producer that is not the bridge's."""
    with Connection(settings.broker_url) as connection:
        channel = connection.channel()
        queue(settings, QUEUE)(channel).declare()
        properties = {"content_type": "application/json", "content_encoding": "utf-8", **properties}
        connection.Producer(channel).publish(body, exchange="", routing_key=QUEUE, headers=headers, **properties)


def test_events_of_a_type_that_the_worker_did_not_know(client, settings, environment, tmp_path) -> None:
    user_id = uuid4()
    events = [New.OrderRefunded(user_id=user_id, number=number) for number in range(150)]
    with running_worker(tmp_path, release("old", environment)):
        emitter = Emitter(settings, new)
        emitter.emit(events[0])
        assert emitter.flush(WAIT_S)
        emitter.emit_many(events[1:])
        emitter.close()
        wait_until(lambda: read_balance(client).dead == 150, what="all are quarantined")
    assert any(b'"compression"' in letter.raw for letter in every_letter(DeadLetters(client, settings)))
    replays = Redrives(store_of(client, settings), settings, new)
    assert {prediction.expected for prediction in replays.predict(ALL)} == {Expected.RETURNED}
    with running_worker(tmp_path, release("new", environment), name="new"):
        status = replays.run(replays.begin(ALL), patience_s=60)
    assert (status.state, status.total, status.succeeded, status.unsendable) == (RedriveState.DONE, 150, 150, 0)
    assert published(client, user_id) == sorted(str(event.event_id) for event in events)
    balance = read_balance(client)
    assert (balance.balanced, balance.accepted, balance.published, balance.duplicate) == (True, 150, 150, 0)
    assert not client.exists(keys.DEAD_LETTERS, keys.DEAD_INDEX, keys.DEAD_HEADS, keys.DEAD_WEIGHTS, keys.OPEN)


@pytest.mark.parametrize(
    ("headers", "properties"),
    [
        ({}, {}),
        ({}, {"compression": "zlib"}),
        ({}, {"content_encoding": "utf-16"}),
        ({"timelimit": 5}, {}),
        ({"eta": "yesterday", "priority": b"\xff"}, {"priority": 3}),
    ],
    ids=["foreign", "compressed", "utf-16", "a header that Celery cannot use", "bytes in a header"],
)
def test_messages_that_nobody_announced(headers, properties, client, settings, environment, tmp_path) -> None:
    user_id = uuid4()
    ids, parts = envelopes(user_id, 7)
    body = TaskMessage(task=TASK, queue=QUEUE, envelopes=parts).body()
    body = body.decode().encode(properties.get("content_encoding", "utf-8"))
    with running_worker(tmp_path, release("old", environment)):
        send(settings, body, {"task": TASK, "id": str(uuid4()), **headers}, **properties)
        wait_until(lambda: DeadLetters(client, settings).count() == 1, what="it is quarantined")
    replays = Redrives(store_of(client, settings), settings, new)
    (prediction,) = replays.predict(ALL)
    assert (prediction.expected, prediction.note) == (Expected.RETURNED, "its 7 events are sent, each with its letter")
    with running_worker(tmp_path, release("new", environment), name="new"):
        status = replays.run(replays.begin(ALL), patience_s=60)
    assert (status.state, status.succeeded) == (RedriveState.DONE, 7)
    assert published(client, user_id) == sorted(ids)
    balance = read_balance(client)
    assert (balance.balanced, balance.accepted, balance.published) == (True, 7, 7)


@pytest.mark.parametrize("body", [b"[[5], {}, {}]", b"no JSON", b"[[[]], {}, {}]"])
def test_what_is_no_message_of_events_stays_and_says_so(body, client, settings, environment, tmp_path) -> None:
    with running_worker(tmp_path, release("old", environment)):
        send(settings, body, {"task": TASK, "id": str(uuid4())})
        wait_until(lambda: DeadLetters(client, settings).count() == 1, what="it is quarantined")
    replays = Redrives(store_of(client, settings), settings, new)
    (prediction,) = replays.predict(ALL)
    assert prediction.expected is Expected.UNSENDABLE
    assert "no message of events" in prediction.note
    assert replays.run(replays.begin(ALL)).unsendable == 1
    assert DeadLetters(client, settings).count() == 1
