"""A real worker publishes to topics: each address hears it, each class is kept apart, and one event is counted."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bridge import Emitter, Settings
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, connect, read_balance
from tests.support.keys import UNPREFIXED
from tests.support.rooms_catalog import Alarmed, Said, registry, room, team
from tests.support.waiting import wait_until
from tests.support.worker import running_worker


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as made:
        yield made


def numbers(client: redis.Redis, stream: str) -> list[int]:
    return [json.loads(fields[b"data"])["number"] for _, fields in client.xrange(stream)]


def test_topics_users_and_everyone_are_told_by_a_worker(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    client.set("sse:stream:topic:{room:3}", "no stream")
    refused = Said(room=3, mentioned=(7,), number=0)
    emitter = Emitter(settings, registry)
    for number in range(1, 41):
        emitter.emit(Said(room=1, by=5, mentioned=(7,), number=number))
        emitter.emit(Alarmed(team="a:b" if number % 2 else "", number=number))
    for event in (refused, Alarmed(team="a b"), Said(room=-1)):
        emitter.emit(event)
    assert emitter.close(10)
    letters = DeadLetters(client, settings)
    environment = {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_REGISTRY": "tests.support.rooms_catalog:registry",
        "BRIDGE_RETRY_ATTEMPTS": "1",
    }
    with running_worker(tmp_path, environment):
        wait_until(lambda: read_balance(client).published == 80, what="all are published")
        wait_until(lambda: letters.count() == 2, what="two are buried")
        wait_until(lambda: read_balance(client).balanced, what="the accounting balances")
    assert numbers(client, UNPREFIXED.stream(room(1))) == numbers(client, "sse:stream:user:{7}") == [*range(1, 41)]
    assert client.xrange(UNPREFIXED.stream(room(1))) == client.xrange("sse:stream:user:{7}")
    assert {fields[b"user_id"] for _, fields in client.xrange(UNPREFIXED.stream(room(1)))} == {b"5"}
    assert numbers(client, UNPREFIXED.stream(team("a:b")) + ":alarms") == [*range(1, 41, 2)]
    assert numbers(client, "sse:stream:broadcast:alarms") == [*range(2, 41, 2)]
    assert not client.exists("sse:stream:broadcast", UNPREFIXED.stream(team("a:b")), "sse:stream:user:{5}")
    failures = {letter.letter_id: letter.failure.message for letter in every_letter(letters)}
    assert "WRONGTYPE" in failures.pop(str(refused.event_id))
    assert [*failures.values()] == [
        "the key of team must have 1 to 128 characters, without control characters, white space or braces."
    ]
