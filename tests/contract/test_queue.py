"""The queue: what was sent is there, in order and accounted for; sending again is harmless, and trouble is told."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from kombu import Connection

from bridge.catalogs.finance import REGISTRY
from bridge.local.redis_server import free_port
from bridge.messages import TaskMessage
from bridge.model.accounting import Balance
from bridge.model.errors import BrokerError, BrokerUnavailableError
from bridge.ports import Queue
from bridge.redis_adapter import connect, read_balance
from bridge.settings import Settings
from bridge.testing import MemoryStore
from bridge.wiring import open_queue
from tests.support.telling import QUEUE, TASK

OTHER_QUEUE = "bridge.ai"


@dataclass(frozen=True, kw_only=True)
class Broker:
    """One kind of broker: ``standing`` takes what is on a queue, the oldest first; ``away`` leads nowhere."""

    queue: Queue
    away: Queue
    standing: Callable[[str], list[TaskMessage]]
    balance: Callable[[], Balance]


def in_memory(_: pytest.FixtureRequest) -> Iterator[Broker]:
    store, nowhere = MemoryStore(), MemoryStore()
    nowhere.queue.faults.go_away()

    def standing(name: str) -> list[TaskMessage]:
        taken = []
        while (message := store.queue.claim(name)) is not None:
            store.queue.acknowledge(message)
            taken.append(message)
        return taken

    yield Broker(queue=store.queue, away=nowhere.queue, standing=standing, balance=store.balance)


def on_servers(settings: Settings) -> Iterator[Broker]:
    def standing(name: str) -> list[TaskMessage]:
        """Read by kombu itself, as any Celery worker would."""
        taken = []
        with Connection(settings.broker_url) as connection, connection.channel() as channel:
            while (message := channel.basic_get(name, no_ack=True)) is not None:
                ((envelopes,), _, _) = json.loads(message.body)
                headers = message.headers
                taken.append(
                    TaskMessage(
                        task=headers["task"],
                        queue=name,
                        envelopes=[json.dumps(one).encode() for one in envelopes],
                        attempt=headers.get("bridge_attempt", 1),
                        message_id=headers["id"],
                    )
                )
        return taken

    scheme = settings.broker_url.partition("://")[0]
    nowhere = Settings(broker_url=f"{scheme}://127.0.0.1:{free_port()}/0", redis_url=settings.redis_url)
    queue, away = open_queue(settings, REGISTRY), open_queue(nowhere, REGISTRY)
    with connect(settings) as client:
        yield Broker(queue=queue, away=away, standing=standing, balance=lambda: read_balance(client))
    queue.close()
    away.close()


def on_redis(request: pytest.FixtureRequest) -> Iterator[Broker]:
    return on_servers(request.getfixturevalue("settings"))


def on_rabbitmq(request: pytest.FixtureRequest) -> Iterator[Broker]:
    host = request.getfixturevalue("rabbitmq_server").with_a_new_host()
    return on_servers(Settings(broker_url=host.url, redis_url=request.getfixturevalue("redis_url")))


@pytest.fixture(params=[in_memory, on_redis, on_rabbitmq])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A further broker is one name here."""
    yield from request.param(request)


def message(*ids: UUID, queue: str = QUEUE, attempt: int = 1) -> TaskMessage:
    envelopes = [json.dumps({"id": str(one)}).encode() for one in ids]
    return TaskMessage(
        task=TASK, queue=queue, envelopes=envelopes, attempt=attempt, event_ids=b"".join(one.bytes for one in ids)
    )


def told(messages: list[TaskMessage]) -> list[tuple[str, str, int, list[str]]]:
    return [
        (one.message_id, one.task, one.attempt, [json.loads(raw)["id"] for raw in one.envelopes]) for one in messages
    ]


def test_messages_stand_on_their_queues_in_the_order_in_which_they_were_sent(broker: Broker) -> None:
    sent = [message(uuid4(), uuid4()), message(uuid4(), queue=OTHER_QUEUE), message(uuid4(), attempt=3)]
    broker.queue.prepare()
    broker.queue.insist_on_room()
    broker.queue.send(sent[:2])
    broker.queue.send(sent[2:])
    assert told(broker.standing(QUEUE)) == told([sent[0], sent[2]])
    assert told(broker.standing(OTHER_QUEUE)) == told([sent[1]])
    assert (broker.balance().accepted, broker.balance().open) == (4, 4)


def test_a_message_that_is_sent_twice_is_accounted_for_once(broker: Broker) -> None:
    one = message(uuid4(), uuid4())
    for _ in range(2):
        broker.queue.send([one])
    assert told(broker.standing(QUEUE)) == told([one, one])
    assert (broker.balance().accepted, broker.balance().open) == (2, 2) and broker.balance().balanced


def test_what_is_accounted_for_elsewhere_is_not_again(broker: Broker) -> None:
    broker.queue.send([TaskMessage(task=TASK, queue=QUEUE, envelopes=[b'{"id":"1"}'], attempt=2)])
    assert len(broker.standing(QUEUE)) == 1 and broker.balance().accepted == 0


def test_a_connection_that_was_closed_is_opened_again(broker: Broker) -> None:
    for _ in range(2):
        broker.queue.send([message(uuid4())])
        broker.queue.close()
        broker.queue.close()
    assert len(broker.standing(QUEUE)) == 2


def test_a_broker_that_is_away_says_so(broker: Broker) -> None:
    with pytest.raises(BrokerError) as caught:
        broker.away.send([message(uuid4())])
    assert isinstance(caught.value, BrokerUnavailableError) and str(caught.value)
    assert caught.value.undone, "nothing can have been taken"
    broker.away.close()
