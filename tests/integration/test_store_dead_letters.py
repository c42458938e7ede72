"""Dead letters on a real server: kept whole, bounded, counted, and the end of an event's retries."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
import redis

from bridge.model.dead_letter import DeadLetter, Tombstone
from bridge.model.errors import StoreUnavailableError
from bridge.model.pipeline import Failure, Stage
from bridge.model.retry import Attempt, RetryRecord
from bridge.operations.letters import PAGE, every_letter
from bridge.operations.search import Tracer
from bridge.redis_adapter import DeadLetters, KeptEvents, Ledger, RetrySet, connect, read_balance
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support import keys
from tests.support.counts import COUNT_NAMES, Counts

FAILURE = Failure(stage=Stage.EXTRACT, error_class="LookupError", message="never — ☃", traceback="line 1\nline 2")
ATTEMPTS = (Attempt(number=1, at="2026-01-01T00:00:00Z", failure=FAILURE),)


def a_letter(letter_id: str | None = None, *, worker: str = "one") -> DeadLetter:
    return DeadLetter(
        letter_id=letter_id or str(uuid4()),
        task="bridge.OrderPaid",
        queue="bridge.orders",
        envelope='{"id":"é"}',
        failure=FAILURE,
        attempts=ATTEMPTS,
        buried_at="2026-01-01T00:00:01Z",
        worker=worker,
        release="0.1.0",
    )


@pytest.fixture
def letters(client: redis.Redis, settings: Settings) -> DeadLetters:
    return DeadLetters(client, settings)


def test_a_letter_is_kept_whole(letters: DeadLetters, client: redis.Redis) -> None:
    letter = a_letter()
    assert letters.bury([letter]) == 0
    assert KeptEvents(client).look_up(letter.letter_id).letter == letter
    assert list(every_letter(letters)) == [letter]


def test_burying_again_keeps_one_letter_and_counts_once(letters: DeadLetters, client: redis.Redis) -> None:
    letter = a_letter()
    letters.bury([letter, letter])
    letters.bury([a_letter(letter.letter_id, worker="two")])
    assert letters.count() == 1
    assert [kept.worker for kept in every_letter(letters)] == ["two"]
    assert Counts(client).read()["dead"] == 1


def test_there_is_no_letter_before_one_is_buried(letters: DeadLetters, client: redis.Redis) -> None:
    assert letters.bury([]) == 0
    assert KeptEvents(client).look_up("unknown").letter is None
    assert list(every_letter(letters)) == []
    assert letters.count() == 0


def test_too_many_letters_evict_the_oldest_and_are_counted(redis_url: str) -> None:
    settings = Settings(broker_url=redis_url, dead_max=3)
    with connect(settings) as client:
        letters = DeadLetters(client, settings)
        first = [a_letter(f"{index}") for index in range(3)]
        assert letters.bury(first) == 0
        for index, letter in enumerate(first):  # as if each had been buried a moment later
            client.zincrby(keys.DEAD_INDEX, index - 10, letter.letter_id)
        assert letters.bury([a_letter("3"), a_letter("4")]) == 2
        assert [letter.letter_id for letter in every_letter(letters)] == ["4", "3", "2"]
        assert KeptEvents(client).look_up("0").letter is None
        assert client.hlen(keys.DEAD_LETTERS) == 3
        counts = Counts(client).read()
        assert (counts["dead"], counts["dead_evicted"]) == (5, 2)


def test_old_letters_are_evicted_by_the_next_burial_and_counted(redis_url: str) -> None:
    settings = Settings(broker_url=redis_url, dead_ttl_s=60)
    with connect(settings) as client:
        letters = DeadLetters(client, settings)
        old, young = a_letter(), a_letter()
        letters.bury([old, young])
        client.zincrby(keys.DEAD_INDEX, -61_000, old.letter_id)
        client.zincrby(keys.DEAD_INDEX, -59_000 + 5_000, young.letter_id)
        assert letters.bury([a_letter()]) == 1
        assert KeptEvents(client).look_up(old.letter_id).letter is None
        assert KeptEvents(client).look_up(young.letter_id).letter == young
        assert Counts(client).read()["dead_evicted"] == 1


def test_a_burial_ends_the_retries_of_its_event_and_of_no_other(
    letters: DeadLetters, client: redis.Redis, settings: Settings
) -> None:
    retries = RetrySet(client, settings)
    dead, alive = str(uuid4()), str(uuid4())
    for event_id in (dead, alive):
        record = RetryRecord(
            event_id=event_id, task="bridge.OrderPaid", queue="bridge.orders", envelope="{}", attempts=ATTEMPTS
        )
        retries.add([(record, 0)])
    letters.bury([a_letter(dead)])
    assert [record.event_id for record in retries.claim().records] == [alive]
    assert retries.history([dead]) == {}


def test_an_event_that_ended_meanwhile_is_not_buried(
    letters: DeadLetters, client: redis.Redis, settings: Settings
) -> None:
    ended, on_its_way, waiting, dead = (uuid4() for _ in range(4))
    Ledger(client, settings).book("m", "bridge.OrderPaid", "bridge.orders", [on_its_way, waiting, dead])
    record = RetryRecord(
        event_id=str(waiting), task="bridge.OrderPaid", queue="bridge.orders", envelope="{}", attempts=ATTEMPTS
    )
    RetrySet(client, settings).add([(record, 60)], message_id="m")
    letters.bury([a_letter(str(dead))], message_id="m")
    everything = [a_letter(str(event_id)) for event_id in (ended, on_its_way, waiting, dead)]
    letters.bury(everything, message_id="m", only_unfinished=True)
    assert {letter.letter_id for letter in every_letter(letters)} == {str(on_its_way), str(waiting), str(dead)}
    balance = read_balance(client)
    assert balance.balanced
    assert (balance.open, balance.retrying, balance.dead) == (0, 0, 3)


def test_letters_are_read_newest_first_over_all_pages(letters: DeadLetters, client: redis.Redis) -> None:
    names = [f"{index:04}" for index in range(2 * PAGE + 1)]
    letters.bury([a_letter(name) for name in names])
    client.zadd(keys.DEAD_INDEX, {name: index for index, name in enumerate(names, start=1)})
    assert [letter.letter_id for letter in every_letter(letters)] == names[::-1]


def test_the_script_that_the_server_forgot_is_loaded_again(letters: DeadLetters, client: redis.Redis) -> None:
    letters.bury([a_letter()])
    client.script_flush()
    letters.bury([a_letter()])
    assert letters.count() == 2


def test_a_server_that_is_away_is_an_error() -> None:
    away = Settings(broker_url="redis://127.0.0.1:1/0")
    with connect(away) as client:
        letters, counts = DeadLetters(client, away), Counts(client)
        for call in (
            lambda: letters.bury([a_letter()]),
            lambda: KeptEvents(client).look_up("a").letter,
            letters.count,
            lambda: list(every_letter(letters)),
            counts.read,
        ):
            with pytest.raises(StoreUnavailableError, match="Redis did not take the command"):
                call()


def test_counts_start_at_zero_and_add_up(client: redis.Redis, settings: Settings) -> None:
    counts = Counts(client)
    assert counts.read() == dict.fromkeys(COUNT_NAMES, 0)
    DeadLetters(client, settings).bury([a_letter(), a_letter()])
    assert counts.read() == {**dict.fromkeys(COUNT_NAMES, 0), "dead": 2, "stray": 2}


def test_a_letter_that_cannot_be_read_stands_for_itself(
    letters: DeadLetters, client: redis.Redis, settings: Settings
) -> None:
    event_id = uuid4()
    client.hset(keys.DEAD_LETTERS, str(event_id), b"\xffnot a letter")
    client.zadd(keys.DEAD_INDEX, {str(event_id): 1})
    assert KeptEvents(client).look_up(str(event_id)).letter.raw == b"\xffnot a letter"
    assert letters.history([str(event_id)]) == {str(event_id): ()}
    (place,) = Tracer(store_of(client, settings)).trace(event_id)
    assert place.raw == b"\xffnot a letter"


def test_a_tombstone_says_when_its_letter_was_discarded(
    letters: DeadLetters, settings: Settings, client: redis.Redis
) -> None:
    letter = a_letter()
    letters.bury([letter])
    stone = Tombstone(letter_id=letter.letter_id, at="", who="ann", reason="old", task=letter.task, error_class="E")
    assert letters.discard([stone]) == (1, 0)
    found = KeptEvents(client).look_up(letter.letter_id).tombstone
    assert (found.who, found.reason) == ("ann", "old")
    assert datetime.fromisoformat(found.at) > datetime(2026, 1, 1, tzinfo=UTC)
