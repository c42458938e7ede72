"""The bound of the dead letters in bytes: held whatever takes letters away, the oldest first, counted and logged."""

import logging
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from bridge.model.dead_letter import DeadLetter
from bridge.model.pipeline import Failure, Stage
from bridge.model.publishing import Delivery
from bridge.operations.letters import Letters, every_letter
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, connect, read_balance
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support import keys
from tests.support.addressed_events import several
from tests.support.counts import Counts
from tests.support.letters import bury, held_bytes
from tests.support.settling import Settler

MOST_BYTES = 1_048_576
FAILURE = Failure(stage=Stage.EXTRACT, error_class="LookupError", message="never")


@pytest.fixture
def bounded(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, dead_max_bytes=MOST_BYTES)


@pytest.fixture
def client(bounded: Settings) -> Iterator[redis.Redis]:
    with connect(bounded) as connected:
        yield connected


@pytest.fixture
def letters(client: redis.Redis, bounded: Settings) -> DeadLetters:
    return DeadLetters(client, bounded)


def a_letter(size: int, letter_id: str | None = None) -> DeadLetter:
    return DeadLetter(
        letter_id=letter_id or str(uuid4()), task="bridge.ImportStarted", queue="bridge.import", envelope="x" * size,
        failure=FAILURE, attempts=(), buried_at="2026-01-01T00:00:01Z", worker="one", release="1",
    )  # fmt: skip


def test_the_oldest_letters_are_evicted_until_the_bytes_fit(
    letters: DeadLetters, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"{number:02}" for number in range(15)]
    for age, name in enumerate(names):
        letters.bury([a_letter(100_000, name)])
        client.zincrby(keys.DEAD_INDEX, age - 1000, name)  # each was buried a moment after the one before
    caplog.set_level(logging.ERROR)
    evicted = Counts(client).read()["dead_evicted"]
    assert evicted > 0
    assert [letter.letter_id for letter in every_letter(letters)] == names[evicted:][::-1]
    assert MOST_BYTES - 110_000 < held_bytes(client) <= MOST_BYTES
    assert letters.bury([a_letter(250_000, "large")]) in (2, 3)
    assert "BRIDGE_DEAD_MAX_BYTES" in caplog.text
    assert held_bytes(client) <= MOST_BYTES
    assert read_balance(client).balanced


def test_the_newest_letter_stays_however_large(letters: DeadLetters, client: redis.Redis) -> None:
    letters.bury([a_letter(1000), a_letter(1000)])
    client.zincrby(keys.DEAD_INDEX, -1000, next(every_letter(letters)).letter_id)
    letters.bury([a_letter(2 * MOST_BYTES, "large")])
    assert [letter.letter_id for letter in every_letter(letters)] == ["large"]
    letters.bury([a_letter(1000, "small")])
    assert "small" in {letter.letter_id for letter in every_letter(letters)}
    held_bytes(client)


def test_a_letter_that_is_written_again_counts_with_its_new_size(letters: DeadLetters, client: redis.Redis) -> None:
    for size in (50_000, 1, 900_000, 900_000, 10):
        letters.bury([a_letter(size, "one")])
        assert held_bytes(client) > size
    assert Counts(client).read()["dead_evicted"] == 0


def test_letters_that_were_taken_away_leave_room(client: redis.Redis, bounded: Settings) -> None:
    settler = Settler(client, bounded)
    for _ in range(5):
        sent = several(12)
        bury(client, bounded, [a_letter(80_000, str(addressed.event.event_id)) for addressed in sent])
        settler.settle([Delivery(event_type="import.started", events=sent[:6])])
        settler.settle([Delivery(event_type="import.started", events=sent[6:7], message_id="elsewhere")])
        assert 5 * 80_000 < held_bytes(client) < 6 * 80_000
        Letters(store_of(client, bounded)).discard(Selection(), reason="done")
        assert held_bytes(client) == 0
    assert Counts(client).read()["dead_evicted"] == 0
    assert read_balance(client).balanced
