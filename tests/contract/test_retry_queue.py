"""The retry queue: what waits is due in time, leased to one mover, and leaves only when its event ends."""

from uuid import uuid4

import pytest

from bridge.model.errors import StoreError
from bridge.model.retry import LEASE_S, RESEND_S
from tests.contract.conftest import Open
from tests.support.adapters import Adapter
from tests.support.telling import QUEUE, TASK, event, name_of, publish, record


def waiting(adapter: Adapter, *waits_s: float) -> list[str]:
    """Events of one message, all of which failed and wait."""
    ids = [uuid4() for _ in waits_s]
    adapter.accounting.book("m", TASK, QUEUE, ids)
    names = [str(one) for one in ids]
    assert not adapter.retries.add(
        [(record(name), after_s) for name, after_s in zip(names, waits_s, strict=True)], message_id="m"
    )
    return names


def due(adapter: Adapter) -> list[str]:
    return [one.event_id for one in adapter.retries.claim().records]


async def test_retries_are_due_when_their_wait_is_over_the_oldest_first(opened: Open) -> None:
    adapter = await opened()
    later, soon, now = waiting(adapter, 200, 100, 0)
    assert due(adapter) == [now]
    adapter.pass_time(20)
    assert due(adapter) == []
    adapter.pass_time(220)
    assert due(adapter) == [now, soon, later]


async def test_a_claim_is_nobody_elses_until_its_lease_ends(opened: Open) -> None:
    adapter = await opened()
    (name,) = waiting(adapter, 0)
    claim = adapter.retries.claim()
    assert [one.event_id for one in claim.records] == [name] and claim.records[0].attempt == 1
    assert 0 < (claim.next_due_s or 0) <= LEASE_S + 1
    assert not due(adapter)
    adapter.pass_time(LEASE_S + 1)
    assert due(adapter) == [name]


async def test_what_is_confirmed_is_due_again_only_in_case_the_broker_loses_it(opened: Open) -> None:
    adapter = await opened()
    (name,) = waiting(adapter, 0)
    claim = adapter.retries.claim()
    adapter.retries.confirm(claim)
    adapter.retries.confirm(claim)
    adapter.pass_time(RESEND_S - 60)
    assert not due(adapter)
    adapter.pass_time(LEASE_S + 120)
    assert due(adapter) == [name]


async def test_one_that_failed_again_before_it_was_confirmed_keeps_its_own_time(opened: Open) -> None:
    adapter = await opened()
    (name,) = waiting(adapter, 0)
    claim = adapter.retries.claim()
    adapter.retries.add([(record(name, attempt=2), 0)])
    adapter.retries.confirm(claim)
    (again,) = adapter.retries.claim().records
    assert again.attempt == 2


async def test_adding_is_idempotent_by_event_and_attempt(opened: Open) -> None:
    adapter = await opened()
    (name,) = waiting(adapter, 100)
    for _ in range(2):
        adapter.retries.add([(record(name), 0)])
        adapter.retries.add([(record(name, attempt=2), 100)])
    adapter.retries.add([(record(name), 0)])
    assert not due(adapter) and adapter.retries.count() == 1
    assert adapter.count("retried") == 2 and adapter.balance().balanced
    assert [one.number for one in adapter.retries.history([name])[name]] == [1, 2]


async def test_what_finds_no_room_is_named_and_does_not_wait(opened: Open) -> None:
    adapter = await opened(retry_max=100)
    names = waiting(adapter, *[0] * 100)
    ids = [uuid4(), uuid4()]
    adapter.accounting.book("n", TASK, QUEUE, ids)
    refused = adapter.retries.add([(record(name), 0) for name in (*map(str, ids), names[0])], message_id="n")
    assert refused == set(map(str, ids)) and adapter.retries.count() == 100
    assert adapter.accounting.unfinished("n", [*refused]) == refused
    assert adapter.count("retry_full") == 2 and adapter.balance().balanced


async def test_an_event_leaves_when_it_is_published_and_then_only_once(opened: Open) -> None:
    adapter = await opened()
    one = event()
    adapter.accounting.book("m", TASK, QUEUE, [one.event.event_id])
    adapter.retries.add([(record(name_of(one)), 0)], message_id="m")
    assert adapter.retries.unfinished([name_of(one)]) == {name_of(one)}
    publish(adapter.publisher, one, message_id="")
    assert adapter.retries.count() == 0 and not due(adapter) and not adapter.retries.unfinished([name_of(one)])
    publish(adapter.publisher, one, message_id="")
    assert adapter.count("published") == 1 and adapter.balance().balanced


async def test_what_has_ended_meanwhile_is_left_alone_if_asked_for(opened: Open) -> None:
    adapter = await opened()
    ended, open_ = event(), event()
    adapter.accounting.book("m", TASK, QUEUE, [ended.event.event_id, open_.event.event_id])
    publish(adapter.publisher, ended, message_id="m")
    adapter.retries.add(
        [(record(name_of(ended)), 0), (record(name_of(open_)), 0)], message_id="m", only_unfinished=True
    )
    assert due(adapter) == [name_of(open_)] and adapter.balance().balanced


async def test_a_queue_that_is_away_says_so(opened: Open) -> None:
    adapter = await opened(away=True)
    with pytest.raises(StoreError):
        adapter.retries.add([(record(str(uuid4())), 0)])
    with pytest.raises(StoreError):
        adapter.retries.claim()
