"""The retry mover on the twins: what is due goes to its queue, and nothing is lost if it dies over it."""

from uuid import uuid4

import pytest

from bridge.model.errors import BrokerError, StoreError
from bridge.model.pipeline import Stage
from bridge.model.retry import LEASE_S, Attempt, RetryRecord
from bridge.testing import MemoryStore
from bridge.worker.mover import MESSAGE_MAX, RetryMover, Router
from bridge.worker.quarantine import Quarantine
from tests.support.moody_catalog import registry
from tests.support.telling import FAILURE, NOW

TASK, QUEUE = "bridge.Moody", "bridge.moods"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def mover(store: MemoryStore) -> RetryMover:
    quarantine = Quarantine(store.dead_letters, store.clock)
    return RetryMover(store.retries, store.queue, quarantine, Router(registry, store.workers))


def wait(
    store: MemoryStore, number: int = 1, *, task: str = TASK, after_s: float = 0, stage: Stage = Stage.EXTRACT
) -> None:
    """So many events of one message wait for their second attempt."""
    ids = [uuid4() for _ in range(number)]
    message = str(uuid4())
    store.accounting.book(message, task, QUEUE, ids)
    failure = type(FAILURE)(stage=stage, error_class="ValueError", message="no")
    attempts = (Attempt(number=1, at=NOW, failure=failure),)
    records = [
        RetryRecord(event_id=str(one), task=task, queue=QUEUE, envelope=f'{{"id":"{one}"}}', attempts=attempts)
        for one in ids
    ]
    store.retries.add([(record, after_s) for record in records], message_id=message)


def test_due_retries_travel_together_as_the_next_attempt(store: MemoryStore, mover: RetryMover) -> None:
    wait(store, MESSAGE_MAX + 1)
    wait(store, after_s=100)
    assert 0 < mover.move() <= 1
    sent = store.queue.standing(QUEUE)
    assert [len(message.envelopes) for message in sent] == [MESSAGE_MAX, 1]
    assert {(message.attempt, message.task, message.event_ids) for message in sent} == {(2, TASK, b"")}
    assert store.retries.count() == MESSAGE_MAX + 2, "they stay until they are settled"
    store.clock.advance(100)
    mover.move()
    assert len(store.queue.standing(QUEUE)) == 3


def test_what_may_have_killed_its_worker_travels_alone(store: MemoryStore, mover: RetryMover) -> None:
    wait(store, 3, stage=Stage.WORKER)
    mover.move()
    assert [len(message.envelopes) for message in store.queue.standing(QUEUE)] == [1, 1, 1]


def test_a_mover_that_dies_before_it_confirms_loses_nothing(store: MemoryStore, mover: RetryMover) -> None:
    wait(store)
    store.queue.faults.go_away()
    with pytest.raises(BrokerError):
        mover.move()
    store.queue.faults.mend()
    mover.move()
    assert not store.queue.standing(QUEUE), "another may be over it until the lease ends"
    store.clock.advance(LEASE_S + 1)
    mover.move()
    assert len(store.queue.standing(QUEUE)) == 1
    store.clock.advance(LEASE_S + 1)
    mover.move()
    assert len(store.queue.standing(QUEUE)) == 1, "confirmed"


def test_a_retry_that_nobody_can_try_is_dead_lettered(store: MemoryStore, mover: RetryMover) -> None:
    wait(store, task="bridge.Gone")
    mover.move()
    assert not store.queue.standing(QUEUE) and store.retries.count() == 0
    (head,) = store.dead_letters.heads(between_ms=(0, 2**53))
    assert head.task == "bridge.Gone" and head.stage == Stage.MESSAGE
    assert store.balance().balanced


def test_a_mover_whose_store_is_away_says_so(store: MemoryStore, mover: RetryMover) -> None:
    store.faults.go_away()
    with pytest.raises(StoreError):
        mover.move()


def test_what_cannot_be_run_is_buried_once_with_its_first_bytes(store: MemoryStore) -> None:
    quarantine = Quarantine(store.dead_letters, store.clock)
    for _ in range(2):
        quarantine(b"x" * 10_000_000, QUEUE, ValueError("no message"), task=TASK)
    (head,) = store.dead_letters.heads(between_ms=(0, 2**53))
    letter = store.dead_letters.get_many([head.letter_id])[head.letter_id]
    assert 0 < len(letter.raw) < 10_000_000 and letter.cut_from.startswith("10000000 bytes, sha256 ")
    assert (head.queue, head.error_class) == (QUEUE, "ValueError")
    assert store.balance().balanced and store.balance().dead == 1
