"""The retry set on a real server: visible, leased, bounded, and no retry is ever lost between two workers."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis

from bridge.model.errors import StoreUnavailableError
from bridge.model.pipeline import Failure, Stage
from bridge.model.publishing import Delivery
from bridge.model.retry import HISTORY_MAX, Attempt, Claim, RetryRecord, extend_history
from bridge.redis_adapter import Ledger, RetrySet, connect, read_balance
from bridge.redis_adapter import failed_events as retries_module
from bridge.settings import Settings
from tests.support import keys
from tests.support.counts import Counts
from tests.support.settling import Settler
from tests.support.waiting import PATIENCE

FAILURE = Failure(stage=Stage.EXTRACT, error_class="LookupError", message="not yet")


def attempt(number: int) -> Attempt:
    return Attempt(number=number, at="2026-01-01T00:00:00Z", failure=FAILURE)


def a_record(event_id: str | None = None, number: int = 1, **changes: Any) -> RetryRecord:
    fields: dict[str, Any] = {
        "event_id": event_id or str(uuid4()),
        "task": "bridge.OrderPaid",
        "queue": "bridge.orders",
        "envelope": '{"id":"é:1:2"}',
        "attempts": tuple(attempt(one) for one in range(1, number + 1)),
    }
    return RetryRecord(**fields | changes)


@pytest.fixture
def retries(client: redis.Redis, settings: Settings) -> RetrySet:
    return RetrySet(client, settings)


@pytest.fixture
def another(settings: Settings) -> Iterator[RetrySet]:
    """The same set, seen by another worker."""
    with connect(settings) as client:
        yield RetrySet(client, settings)


def claim_until(retries: RetrySet, wanted: Callable[[Claim], bool], *, within_s: float = 5.0) -> Claim:
    deadline = time.monotonic() + within_s * PATIENCE
    while not wanted(claim := retries.claim()):
        assert time.monotonic() < deadline, "the claim never came"
        time.sleep(0.005)
    return claim


def ids(claim: Claim) -> list[str]:
    return [record.event_id for record in claim.records]


def test_an_event_that_ended_meanwhile_is_not_tried_again(
    retries: RetrySet, client: redis.Redis, settings: Settings
) -> None:
    ended, on_its_way, waiting = uuid4(), uuid4(), uuid4()
    Ledger(client, settings).book("m", "bridge.OrderPaid", "bridge.orders", [on_its_way, waiting])
    retries.add([(a_record(str(waiting)), 60)], message_id="m")
    again = [(a_record(str(ended)), 0), (a_record(str(on_its_way)), 0), (a_record(str(waiting), number=2), 0)]
    assert retries.add(again, message_id="m", only_unfinished=True) == frozenset()
    assert set(ids(retries.claim())) == {str(on_its_way), str(waiting)}
    balance = read_balance(client)
    assert balance.balanced
    assert (balance.open, balance.retrying) == (0, 2)


def test_an_event_that_ended_needs_no_room(client: redis.Redis, settings: Settings) -> None:
    full = RetrySet(client, dataclasses.replace(settings, retry_max=1))
    full.add([(a_record(), 0)])
    assert full.add([(a_record(), 0)], only_unfinished=True) == frozenset()


def test_a_retry_is_due_after_its_wait_and_comes_back_as_it_went(retries: RetrySet) -> None:
    record = a_record()
    assert retries.add([(record, 0.2)]) == frozenset()
    early = retries.claim()
    assert early.records == ()
    assert early.next_due_s is not None
    assert 0 < early.next_due_s <= 0.2
    assert claim_until(retries, lambda claim: bool(claim.records)).records == (record,)


def test_due_retries_come_oldest_first_and_within_the_limit(retries: RetrySet, client: redis.Redis) -> None:
    records = [a_record() for _ in range(5)]
    retries.add([(record, 0) for record in records])
    for index, record in enumerate(reversed(records)):
        client.zadd(keys.RETRY_DUE, {record.event_id: index})
    assert ids(retries.claim(limit=2)) == [records[4].event_id, records[3].event_id]
    assert len(retries.claim(limit=9).records) == 3


def test_an_empty_set_has_nothing_due(retries: RetrySet) -> None:
    claim = retries.claim()
    assert (claim.records, claim.next_due_s) == ((), None)
    retries.confirm(claim)
    assert retries.history([]) == {}
    assert retries.add([]) == frozenset()
    assert retries.count() == 0


def test_adding_the_same_attempt_again_changes_nothing(retries: RetrySet, client: redis.Redis) -> None:
    record = a_record(number=2)
    retries.add([(record, 60)])
    due = client.zscore(keys.RETRY_DUE, record.event_id)
    retries.add([(record, 5), (a_record(record.event_id, number=1), 5)])
    assert client.zscore(keys.RETRY_DUE, record.event_id) == due
    assert retries.count() == 1
    assert Counts(client).read()["retried"] == 1


def test_a_later_attempt_takes_the_place_of_the_earlier_one(retries: RetrySet) -> None:
    first = a_record(number=9)
    later = a_record(first.event_id, number=10)
    retries.add([(first, 60)])
    retries.add([(later, 0)])
    assert retries.claim().records == (later,)
    assert retries.count() == 1


def test_a_full_set_refuses_by_id_and_still_takes_what_it_knows(redis_url: str) -> None:
    settings = Settings(broker_url=redis_url, retry_max=2)
    with connect(settings) as client:
        retries = RetrySet(client, settings)
        known, second, third = a_record(), a_record(), a_record()
        assert retries.add([(known, 0), (second, 0), (third, 0)]) == {third.event_id}
        assert retries.add([(third, 0), (a_record(known.event_id, number=2), 0)]) == {third.event_id}
        assert retries.count() == 2
        settle_unseen(client, settings, second)
        assert retries.add([(third, 0)]) == frozenset()


# The lease


def test_a_claimed_retry_is_nobody_elses_until_the_lease_ends(
    retries: RetrySet, another: RetrySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [a_record() for _ in range(20)]
    retries.add([(record, 0) for record in records])
    mine, theirs = retries.claim(limit=12), another.claim()
    assert sorted(ids(mine) + ids(theirs)) == sorted(record.event_id for record in records)
    assert another.claim().records == ()
    assert (another.claim().next_due_s or 0) > retries_module.LEASE_S - 5


def test_when_the_lease_ends_it_is_given_again(
    retries: RetrySet, another: RetrySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries_module, "LEASE_S", 0.1)
    record = a_record()
    retries.add([(record, 0)])
    assert ids(retries.claim()) == [record.event_id]
    assert claim_until(another, lambda claim: bool(claim.records)).records == (record,)


def test_a_confirmed_retry_is_not_given_again_and_its_history_stays(
    retries: RetrySet, another: RetrySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries_module, "LEASE_S", 0.05)
    record = a_record(number=2)
    retries.add([(record, 0)])
    retries.confirm(retries.claim())
    next_due_s = another.claim().next_due_s
    assert next_due_s is not None
    assert next_due_s > retries_module.RESEND_S - 60  # only in case the broker loses the message
    assert retries.history([record.event_id, "unknown"]) == {record.event_id: record.attempts}
    assert retries.count() == 1


def test_confirming_does_not_drop_a_retry_that_failed_again_meanwhile(retries: RetrySet) -> None:
    first = a_record()
    retries.add([(first, 0)])
    claim = retries.claim()
    later = a_record(first.event_id, number=2)
    retries.add([(later, 0)])
    retries.confirm(claim)
    assert retries.claim().records == (later,)


def test_an_old_claim_cannot_confirm_what_somebody_else_holds_now(
    retries: RetrySet, another: RetrySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries_module, "LEASE_S", 0.05)
    record = a_record()
    retries.add([(record, 0)])
    stale = retries.claim()
    claim_until(another, lambda claim: bool(claim.records))
    retries.confirm(stale)
    assert claim_until(another, lambda claim: bool(claim.records)).records == (record,)


def settle_unseen(client: redis.Redis, settings: Settings, *records: RetryRecord) -> None:
    """Settle events that turned out to have nobody to tell."""
    ids = [record.event_id for record in records]
    Settler(client, settings).settle([Delivery(event_type="a.b", events=[], skipped=ids)])


def test_what_is_skipped_is_gone_with_its_history_and_counted_once(
    retries: RetrySet, client: redis.Redis, settings: Settings
) -> None:
    gone, kept = a_record(), a_record()
    retries.add([(gone, 0), (kept, 0)])
    client.delete(keys.STRAYS)  # as if a message had brought them
    settle_unseen(client, settings, gone, a_record())
    settle_unseen(client, settings, gone)
    assert Counts(client).read()["skipped"] == 1
    assert ids(retries.claim()) == [kept.event_id]
    assert retries.history([gone.event_id]) == {}
    assert client.zscore(keys.RETRY_DUE, gone.event_id) is None


def test_a_due_time_without_a_record_is_swept_away(retries: RetrySet, client: redis.Redis) -> None:
    client.zadd(keys.RETRY_DUE, {"orphan": 1})
    assert retries.claim().records == ()
    assert client.zcard(keys.RETRY_DUE) == 0


def test_scripts_that_the_server_forgot_are_loaded_again(retries: RetrySet, client: redis.Redis) -> None:
    for step in (lambda: retries.add([(a_record(), 0)]), retries.claim, lambda: retries.confirm(retries.claim())):
        client.script_flush()
        step()


def test_a_server_that_is_away_is_an_error(settings: Settings) -> None:
    away = Settings(broker_url="redis://127.0.0.1:1/0")
    with connect(away) as client:
        retries = RetrySet(client, away)
        for call in (
            lambda: retries.add([(a_record(), 0)]),
            retries.claim,
            retries.count,
            lambda: retries.history(["a"]),
        ):
            with pytest.raises(StoreUnavailableError, match="Redis did not take the command"):
                call()


# The history of an event


def test_a_long_history_keeps_its_first_attempt_and_the_newest() -> None:
    history: tuple[Attempt, ...] = ()
    for number in range(1, 100):
        history = extend_history(history, attempt(number))
        assert len(history) <= HISTORY_MAX
    assert [one.number for one in history] == [1, *range(100 - HISTORY_MAX + 1, 100)]


def test_an_attempt_that_ran_twice_is_kept_once() -> None:
    history = extend_history(extend_history((), attempt(1)), attempt(2))
    assert [one.number for one in extend_history(history, attempt(2))] == [1, 2]
