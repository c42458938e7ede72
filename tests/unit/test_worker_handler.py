"""What the worker does about each outcome, on the twins: every event ends once, whatever the store does meanwhile."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bridge.model.errors import BrokerError, StoreError
from bridge.settings import Settings
from bridge.testing import MemoryStore
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job
from tests.support.hasty_catalog import registry as hasty
from tests.support.moody_catalog import registry as moody

QUEUE = "bridge.moods"


def envelope(mode: str = "ok", times: int = 0) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "test",
        "type": "Moody",
        "time": "2026-01-01T00:00:00Z",
        "data": {"user_id": str(uuid4()), "mode": mode, "times": times},
    }


def job(*envelopes: dict[str, Any], message_id: str = "m", attempt: int = 1, redrive: str = "") -> Job:
    return Job(
        mapping=moody.mappings[0],
        envelopes=envelopes,
        attempt=attempt,
        message_id=message_id,
        booked_as="",
        redrive=redrive,
    )


@pytest.fixture(autouse=True)
def moods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOODY_DIR", str(tmp_path))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(Settings(retry_base_s=10, retry_cap_s=10))


@pytest.fixture
def handler(store: MemoryStore) -> Handler:
    return Handler(Settings(retry_base_s=10, retry_cap_s=10), moody, store.worker_ports)


def test_each_event_of_a_message_ends_in_its_own_way(store: MemoryStore, handler: Handler) -> None:
    good, failing, hopeless = envelope(), envelope("fail", times=1), envelope("permanent")
    assert handler.run([job(good, failing, hopeless)]) == 1
    balance = store.balance()
    assert (balance.published, balance.retrying, balance.dead, balance.open) == (1, 1, 1, 0)
    assert balance.balanced and balance.accepted == 3
    letter = store.dead_letters.get_many([hopeless["id"]])[hopeless["id"]]
    assert letter.failure.error_class.endswith("PermanentError") and letter.task == "bridge.Moody"


def test_a_redelivered_message_changes_nothing(store: MemoryStore, handler: Handler) -> None:
    message = job(envelope(), envelope("fail", times=9), envelope("permanent"))
    handler.run([message])
    before = store.balance()
    handler.run([message])
    assert store.balance() == before


def test_an_event_is_tried_again_until_its_attempts_are_used_up(store: MemoryStore, handler: Handler) -> None:
    failing = envelope("fail", times=99)
    handler.run([job(failing)])
    for attempt in range(2, 50):
        store.clock.advance(60)
        if not store.retries.claim().records:
            break
        handler.run([job(failing, attempt=attempt)])
    letter = store.dead_letters.get_many([failing["id"]])[failing["id"]]
    policy = moody.mappings[0].retry
    assert policy and letter.attempts[-1].number == policy.attempts == attempt - 1
    assert store.retries.count() == 0 and store.balance().balanced


def test_an_event_that_fails_and_then_succeeds_is_published_once(store: MemoryStore, handler: Handler) -> None:
    failing = envelope("fail", times=1)
    handler.run([job(failing)])
    handler.run([job(failing, attempt=2)])
    handler.run([job(failing, attempt=2)])
    assert store.balance().published == 1 and store.retries.count() == 0 and store.balance().balanced


def test_a_redriven_letter_that_fails_again_stays_one_with_one_more_attempt(
    store: MemoryStore, handler: Handler
) -> None:
    hopeless = envelope("permanent", times=2)
    handler.run([job(hopeless)])
    handler.run([job(hopeless, redrive="r")])
    letter = store.dead_letters.get_many([hopeless["id"]])[hopeless["id"]]
    assert [one.number for one in letter.attempts] == [1, 2] and letter.replay == "r"
    handler.run([job(hopeless, redrive="r")])
    assert store.dead_letters.count() == 0 and store.balance().published == 1 and store.balance().balanced


@pytest.mark.parametrize(
    "act", [lambda handler, one: handler.run([one]), lambda handler, one: handler.dead_letter_poison(one, 3)]
)
def test_when_the_store_is_away_nothing_is_acknowledged_and_a_second_run_completes_it(
    act: Callable[[Handler, Job], object], store: MemoryStore, handler: Handler
) -> None:
    message = job(envelope(), envelope("fail", times=9), envelope("permanent"))
    for trouble in (store.faults.go_away, store.faults.refuse):
        trouble()
        with pytest.raises(StoreError):
            act(handler, message)
    store.faults.mend()
    assert store.balance().accepted == 0
    act(handler, message)
    assert store.balance().balanced and store.balance().open == 0


@pytest.mark.parametrize("lost", range(1, 6))
def test_an_answer_that_is_lost_at_any_call_costs_nothing_but_a_second_run(
    lost: int, store: MemoryStore, handler: Handler
) -> None:
    message = job(envelope(), envelope("fail", times=9), envelope("permanent"))
    store.faults.lose_answers(after=lost - 1)
    with pytest.raises(StoreError):
        while True:  # until it was met: calls that a run does not need come with the next
            handler.run([message])
    handler.run([message])
    balance = store.balance()
    assert (balance.accepted, balance.published, balance.retrying, balance.dead, balance.open) == (3, 1, 1, 1, 0)
    assert balance.balanced


def test_nobody_is_charged_when_the_last_attempt_of_one_is_lost(store: MemoryStore) -> None:
    handler = Handler(Settings(), hasty, store.worker_ports)
    message = replace(job(*[envelope() for _ in range(3)]), mapping=hasty.mappings[0])
    handler.record_worker_lost(message, SystemExit(3))
    sent = store.queue.standing(QUEUE)
    assert [(len(one.envelopes), one.attempt, one.booked_as) for one in sent] == [(1, 1, "m")] * 3
    assert store.dead_letters.count() == 0 and store.balance().open == 3
    handler.record_worker_lost(replace(message, envelopes=message.envelopes[:1]), SystemExit(3))
    assert store.dead_letters.count() == 1 and store.balance().balanced


def test_a_group_that_cannot_be_split_because_the_broker_is_away_is_not_acknowledged(store: MemoryStore) -> None:
    handler = Handler(Settings(), hasty, store.worker_ports)
    message = replace(job(envelope(), envelope()), mapping=hasty.mappings[0])
    store.queue.faults.go_away()
    with pytest.raises(BrokerError):
        handler.record_worker_lost(message, SystemExit(3))
    store.queue.faults.mend()
    handler.record_worker_lost(message, SystemExit(3))
    assert len(store.queue.standing(QUEUE)) == 2


def test_an_event_that_was_published_before_its_process_died_is_not_buried(
    store: MemoryStore, handler: Handler
) -> None:
    first = job(envelope())
    last = replace(first, attempt=3)
    handler.record_worker_lost(first, RuntimeError("gone"))
    assert store.retries.count() == 1
    handler.run([last])
    assert store.retries.count() == 0
    handler.record_worker_lost(last, RuntimeError("gone"))
    assert store.dead_letters.count() == 0 and store.balance().balanced


def test_what_killed_whole_workers_is_dead_lettered_once(store: MemoryStore, handler: Handler) -> None:
    message = job(envelope(), envelope())
    assert [handler.starts.add("m"), handler.starts.add("m")] == [1, 2]
    for _ in range(2):
        handler.dead_letter_poison(message, 2)
    handler.starts.forget("m")
    assert handler.starts.add("m") == 1
    assert store.dead_letters.count() == 2 and store.balance().balanced
