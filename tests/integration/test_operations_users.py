"""Whom dead letters hit, where events name their user in a field of another name."""

import json
from pathlib import Path
from uuid import uuid4

import redis

from bridge import Emitter, Settings
from bridge.messages import TaskMessage
from bridge.model.pipeline import EventCodec
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters
from bridge.wiring import open_queue
from tests.support.customer_catalog import OrderPaid, OrderShipped, registry
from tests.support.processes import run_cli
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

CATALOG = "tests.support.customer_catalog:registry"


def test_letters_know_the_user_that_the_mapping_names(settings: Settings, client: redis.Redis, tmp_path: Path) -> None:
    environment = {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REGISTRY": CATALOG}
    user, other, passenger = uuid4(), uuid4(), uuid4()
    letters = DeadLetters(client, settings)
    with running_worker(tmp_path, environment):
        emitter = Emitter(settings, registry)
        emitter.emit_many(
            [
                OrderPaid(user_id=passenger, customer=user, number=1),
                OrderPaid(user_id=passenger, customer=user, number=2),
                OrderShipped(user_id=passenger, buyer=other, recipient=user, number=3),
                OrderShipped(user_id=passenger, buyer=other, number=4),
            ]
        )
        emitter.flush(WAIT_S)
        emitter.close()
        wait_until(lambda: letters.count() == 4, what="all are buried")
    hit = {one["user_id"]: one["count"] for one in json.loads(_run(environment, "dead", "users", "--json"))}
    assert hit == {str(user): 3, str(other): 1}
    found = json.loads(_run(environment, "dead", "list", "--json", "--user", str(user)))["letters"]
    assert {letter["user_id"] for letter in found} == {str(user)}
    assert len(found) == 3
    (group,) = json.loads(_run(environment, "dead", "groups", "--json", "--type", "OrderPaid"))
    assert group["users"] == 1
    assert str(user) in _run(environment, "trace", found[0]["letter_id"])


def test_an_envelope_that_cannot_be_read_is_laid_to_the_field_that_the_mapping_returns(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    environment = {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REGISTRY": CATALOG}
    user = uuid4()
    letters = DeadLetters(client, settings)
    event = OrderPaid(user_id=uuid4(), customer=user, number=12345)
    envelope = EventCodec(OrderPaid).encode(event, source="test").replace(b"12345", b'"no number"')
    sender = open_queue(settings, registry)
    sender.send([TaskMessage(task="bridge.OrderPaid", queue="bridge.orders", envelopes=[envelope])])
    sender.close()
    with running_worker(tmp_path, environment):
        wait_until(letters.count, what="it is buried")
    (letter,) = every_letter(letters)
    assert (letter.failure.stage, letter.addresses) == ("decode", (f"user:{user}",))


def _run(environment: dict[str, str], *arguments: str) -> str:
    done = run_cli(*arguments, environment=environment)
    assert done.returncode == 0, done
    return done.stdout
