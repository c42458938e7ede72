"""Two workers that run one message at once: the second run changes nothing in the books, whoever ends first."""

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
import redis

from bridge import SSEEvent, SSEEventType
from bridge.model.accounting import Balance
from bridge.model.events import encode_payload
from bridge.model.publishing import AddressedEvent, Delivery
from bridge.model.retry import Attempt, RetryRecord
from bridge.redis_adapter import DeadLetters, Ledger, RetrySet, connect, read_balance
from bridge.redis_adapter.task_queue import Entries
from bridge.settings import Settings
from tests.support import keys
from tests.support.counts import Counts
from tests.support.letters import QUEUE, TASK, a_failure, a_letter
from tests.support.settling import Settler

MESSAGE = "the-message"


class Runs:
    """One accepted event, and what the runs of its message may do."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self.client = client
        self.event_id = str(uuid4())
        self._event = SSEEvent(
            event_type=SSEEventType.IMPORT_STARTED, user_id=uuid4(), data={}, event_id=UUID(self.event_id)
        )
        self._settler = Settler(client, settings)
        self._retries = RetrySet(client, settings)
        self._dead = DeadLetters(client, settings)
        Ledger(client, settings).book(MESSAGE, TASK, QUEUE, [self._event.event_id])

    def publish(self, message_id: str = MESSAGE) -> None:
        addressed = AddressedEvent(event=self._event, payload=encode_payload({}), user_id=self._event.user_id)
        self._settler.settle([Delivery(event_type="import.started", events=[addressed], message_id=message_id)])

    def skip(self, message_id: str = MESSAGE) -> None:
        delivery = Delivery(event_type="import.started", events=[], message_id=message_id, skipped=[self.event_id])
        self._settler.settle([delivery])

    def retry(self, message_id: str = MESSAGE, attempt: int = 1) -> None:
        attempts = tuple(
            Attempt(number=number, at="2026-01-01T00:00:00Z", failure=a_failure()) for number in range(1, attempt + 1)
        )
        record = RetryRecord(event_id=self.event_id, task=TASK, queue=QUEUE, envelope="{}", attempts=attempts)
        assert not self._retries.add([(record, 0)], message_id=message_id)

    def bury(self, message_id: str = MESSAGE) -> None:
        self._dead.bury([a_letter(letter_id=self.event_id)], message_id=message_id)

    @property
    def balance(self) -> Balance:
        return read_balance(self.client)

    def numbers(self) -> dict[str, int]:
        """What the books say, but for zeros."""
        found = self.balance
        assert found.difference == 0
        fields = {name: getattr(found, name) for name in Balance.__dataclass_fields__}
        return {name: number for name, number in fields.items() if number}


@pytest.fixture
def runs(settings: Settings) -> Iterator[Runs]:
    with connect(settings) as client:
        yield Runs(client, settings)


def test_a_second_run_that_fails_after_the_first_published_leaves_no_trace_once_it_is_recognised(runs: Runs) -> None:
    runs.publish()
    runs.retry()
    assert runs.numbers() == {"accepted": 1, "published": 1, "retrying": 1, "stray": 1}
    assert runs.balance.balanced
    runs.publish(message_id="")
    assert runs.numbers() == {"accepted": 1, "published": 1}
    assert not runs.client.exists(keys.STRAYS)


def test_a_second_run_that_dies_after_the_first_published_vanishes_when_its_letter_is_replayed(runs: Runs) -> None:
    runs.publish()
    runs.bury()
    assert runs.numbers() == {"accepted": 1, "published": 1, "dead": 1, "stray": 1}
    runs.publish(message_id="")
    assert runs.numbers() == {"accepted": 1, "published": 1}


def test_a_stray_stays_one_on_its_way_from_the_retries_to_the_dead(runs: Runs) -> None:
    runs.publish()
    runs.retry()
    runs.retry(message_id="", attempt=2)
    runs.bury(message_id="")
    runs.bury(message_id="")
    assert runs.numbers() == {"accepted": 1, "published": 1, "dead": 1, "stray": 1}
    runs.publish(message_id="")
    assert runs.numbers() == {"accepted": 1, "published": 1}


def test_a_second_run_of_a_skipped_event_is_skipped_once(runs: Runs) -> None:
    runs.skip()
    runs.retry()
    runs.skip(message_id="")
    assert runs.numbers() == {"accepted": 1, "skipped": 1}


def test_a_second_run_that_fails_after_the_first_was_buried_does_not_try_again(runs: Runs) -> None:
    runs.bury()
    runs.retry()
    assert runs.numbers() == {"accepted": 1, "dead": 1}
    assert not runs.client.exists(keys.RETRY_DUE, keys.RETRY_RECORDS)


def test_a_second_run_that_publishes_takes_the_first_ones_retry_with_it(runs: Runs) -> None:
    runs.retry()
    runs.publish()
    assert runs.numbers() == {"accepted": 1, "published": 1}


def test_an_event_that_the_books_lost_is_tried_again_and_counted_when_it_is_published(runs: Runs) -> None:
    runs.client.delete(keys.OPEN, keys.COUNTS)
    runs.retry()
    assert runs.numbers() == {"retrying": 1, "stray": 1}
    runs.publish(message_id="")
    assert runs.numbers() == {"published": 1, "unbooked": 1}
    assert not runs.balance.balanced


def test_an_event_that_was_emitted_again_turns_its_stray_into_a_retry_of_its_own(
    runs: Runs, settings: Settings
) -> None:
    runs.publish()
    runs.retry()
    Ledger(runs.client, settings).book("another", TASK, QUEUE, [UUID(runs.event_id)])
    runs.retry(message_id="another")
    assert runs.numbers() == {"accepted": 2, "published": 1, "retrying": 1}
    runs.publish(message_id="")
    assert runs.numbers() == {"accepted": 2, "published": 1, "duplicate": 1}


def test_strays_that_are_evicted_stay_in_the_balance_and_are_forgotten(settings: Settings, redis_url: str) -> None:
    narrow = Settings(broker_url=redis_url, dead_max=1)
    with connect(narrow) as client:
        first, second = Runs(client, narrow), Runs(client, narrow)
        for run in (first, second):
            run.publish()
            run.bury()
        assert first.numbers()["evicted"] == 1
        # Of two that are buried within one ms, either may be the one that is kept.
        (kept,) = client.zrange(keys.DEAD_INDEX, 0, -1)
        assert client.smembers(keys.STRAYS) == {b"dead:" + kept}


def test_what_the_server_took_before_it_forgot_its_script_is_not_sent_twice(settings: Settings) -> None:
    with connect(settings) as client, connect(settings) as forgetful:
        entries = Entries(client)
        for round_ in range(30):
            messages = [(f"{round_}/{n}", TASK, QUEUE, uuid4().bytes, "a-list", b"%d" % n) for n in range(1_000)]
            entries.enter_and_push(messages[:1])
            client.delete("a-list")
            forgetting = threading.Timer(round_ / 2_000, forgetful.script_flush)
            forgetting.start()
            entries.enter_and_push(messages)
            forgetting.join()
            assert sorted(map(int, client.lrange("a-list", 0, -1))) == list(range(1_000))
        assert Counts(client).read()["accepted"] == 30_000
