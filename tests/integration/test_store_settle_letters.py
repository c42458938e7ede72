"""Settling redriven letters: usually a few calls for all of them, and otherwise as if they came one by one."""

from uuid import UUID

import pytest
import redis

from bridge import User
from bridge.model.dead_letter import DeadLetter
from bridge.model.events import SSEEvent, encode_payload
from bridge.model.publishing import AddressedEvent
from bridge.model.retry import RetryRecord
from bridge.redis_adapter import DeadLetters, RetrySet, read_balance
from bridge.settings import Settings
from tests.support import keys
from tests.support.addressed_events import waiting
from tests.support.letters import QUEUE, TASK, a_letter, bury
from tests.support.moody_catalog import EventType
from tests.support.settling import Settler

USER = UUID(int=7)


@pytest.fixture
def letters(client: redis.Redis, settings: Settings) -> list[DeadLetter]:
    made = [a_letter(user_id=USER, number=number) for number in range(10)]
    bury(client, settings, made)
    return made


def settle(client: redis.Redis, settings: Settings, letters: list[DeadLetter], *, user_id: UUID | None = USER) -> None:
    Settler(client, settings).settle(waiting([addressed(letter, user_id) for letter in letters]))


def addressed(letter: DeadLetter, user_id: UUID | None = USER) -> AddressedEvent:
    event = SSEEvent(event_type=EventType.MOOD_SHOWN, user_id=USER, data={"number": 1}, event_id=UUID(letter.letter_id))
    return AddressedEvent(event=event, payload=encode_payload(event.data), user_id=user_id)


def a_retry(letter: DeadLetter) -> RetryRecord:
    return RetryRecord(
        event_id=letter.letter_id, task=TASK, queue=QUEUE, envelope=letter.envelope, attempts=letter.attempts
    )


def test_letters_that_are_published_are_gone_and_the_books_balance(client, settings, letters) -> None:
    settle(client, settings, letters[:8])
    balance = read_balance(client)
    assert (balance.published, balance.dead, balance.duplicate, balance.unbooked) == (8, 2, 0, 0)
    assert balance.balanced
    assert DeadLetters(client, settings).count() == 2
    assert client.hlen(keys.DEAD_HEADS) == client.hlen(keys.DEAD_LETTERS) == 2


def test_letters_that_were_published_before_are_duplicates(client, settings, letters) -> None:
    settle(client, settings, letters)
    bury(client, settings, letters)
    settle(client, settings, letters)
    balance = read_balance(client)
    assert (balance.published, balance.dead, balance.duplicate, balance.balanced) == (10, 0, 10, True)
    assert client.xlen(keys.stream(User(USER))) == 10


def test_a_letter_that_is_gone_came_out_of_nowhere_and_the_others_did_not(client, settings, letters) -> None:
    settle(client, settings, [*letters[:4], a_letter(user_id=USER)])
    balance = read_balance(client)
    assert (balance.published, balance.dead, balance.unbooked, balance.difference) == (5, 6, 1, 0)


def test_an_event_that_waits_as_well_ends_its_waiting(client, settings, letters) -> None:
    RetrySet(client, settings).add([(a_retry(letters[0]), 60)])
    settle(client, settings, letters[:4])
    assert not client.exists(keys.RETRY_DUE, keys.RETRY_RECORDS)
    assert read_balance(client).balanced


def test_one_letter_that_goes_to_two_addresses_is_one_token(client, settings, letters) -> None:
    addressed_events = [addressed(letters[0]), addressed(letters[0], None)]
    Settler(client, settings).settle(waiting(addressed_events))
    balance = read_balance(client)
    assert (balance.published, balance.dead, balance.unbooked, balance.difference) == (2, 9, 1, 0)


def test_an_event_that_redis_refuses_stays_a_letter(client, settings, letters) -> None:
    client.set(keys.stream(User(USER)), "not a stream")
    settle(client, settings, letters)
    balance = read_balance(client)
    assert (balance.published, balance.dead, balance.balanced) == (0, 10, True)
