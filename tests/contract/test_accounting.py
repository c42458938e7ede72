"""The accounting: an accepted event is in one place at a time, and whatever is done twice, the balance is even."""

from uuid import uuid4

import pytest

from bridge.model.errors import StoreError
from bridge.model.log_entry import LogEntry
from tests.contract.conftest import Open
from tests.support.telling import QUEUE, TASK, event, letter, name_of, publish, record


async def test_a_message_is_entered_once_however_often_it_is_delivered(opened: Open) -> None:
    adapter = await opened()
    one = event()
    for _ in range(3):
        adapter.accounting.book("m", TASK, QUEUE, [one.event.event_id])
    assert (adapter.balance().accepted, adapter.balance().open) == (1, 1)
    publish(adapter.publisher, one, message_id="m")
    adapter.accounting.book("m", TASK, QUEUE, [one.event.event_id])
    assert (adapter.balance().accepted, adapter.balance().open) == (1, 0)


async def test_what_is_on_its_way_is_known_message_by_message(opened: Open) -> None:
    adapter = await opened()
    first, second = event(), event()
    ids = [first.event.event_id, second.event.event_id]
    adapter.accounting.book("m", TASK, QUEUE, ids)
    adapter.accounting.book("n", TASK, QUEUE, ids[1:])
    publish(adapter.publisher, first, message_id="m")
    assert adapter.accounting.unfinished("m", list(map(str, ids))) == {name_of(second)}
    assert adapter.accounting.unfinished("gone", list(map(str, ids))) == set()
    (message,) = adapter.accounting.get(["m", "gone"])
    assert (message.message_id, message.task, message.queue, message.event_ids) == ("m", TASK, QUEUE, (ids[1],))
    assert {one.message_id for one in adapter.accounting.holding(ids[1])} == {"m", "n"}
    assert adapter.accounting.holding(ids[0]) == []


async def test_an_event_that_came_in_two_messages_is_published_once_and_both_end(opened: Open) -> None:
    adapter = await opened()
    one = event()
    for message in ("m", "n"):
        adapter.accounting.book(message, TASK, QUEUE, [one.event.event_id] * 2)
        publish(adapter.publisher, one, one, message_id=message)
    balance = adapter.balance()
    assert (balance.accepted, balance.published, balance.duplicate, balance.open) == (4, 1, 3, 0)
    assert balance.balanced


async def test_skipped_events_end_too_and_once(opened: Open) -> None:
    adapter = await opened()
    one, nobody = event(), uuid4()
    adapter.accounting.book("m", TASK, QUEUE, [one.event.event_id, nobody])
    for _ in range(2):
        publish(adapter.publisher, one, message_id="m", skipped=[str(nobody)])
    balance = adapter.balance()
    assert (balance.published, balance.skipped, balance.open) == (1, 1, 0) and balance.balanced


async def test_what_is_published_and_was_never_accepted_is_told_apart(opened: Open) -> None:
    adapter = await opened()
    publish(adapter.publisher, event(), message_id="unheard")
    balance = adapter.balance()
    assert balance.unbooked == 1 and balance.difference == 0 and not balance.balanced


async def test_a_late_failure_of_a_second_run_does_not_upset_the_balance(opened: Open) -> None:
    adapter = await opened()
    retried, buried = event(), event()
    adapter.accounting.book("m", TASK, QUEUE, [retried.event.event_id, buried.event.event_id])
    publish(adapter.publisher, retried, buried, message_id="m")
    adapter.retries.add([(record(name_of(retried)), 0)], message_id="m")
    adapter.dead_letters.bury([letter(name_of(buried))], message_id="m")
    assert adapter.balance().stray == 2 and adapter.balance().balanced
    publish(adapter.publisher, retried, buried, message_id="")
    balance = adapter.balance()
    assert (balance.stray, balance.published, balance.duplicate) == (0, 2, 0) and balance.balanced


async def test_starts_are_counted_taken_back_and_forgotten(opened: Open) -> None:
    adapter = await opened()
    assert [adapter.starts.add("m") for _ in range(3)] == [1, 2, 3]
    adapter.starts.take_back("m")
    assert adapter.starts.add("m") == 3
    adapter.starts.forget("m")
    adapter.starts.forget("m")
    assert adapter.starts.add("m") == 1


async def test_numbers_grow_by_what_is_added(opened: Open) -> None:
    adapter = await opened()
    adapter.metrics.add([("a", 2), ("b", 1)])
    adapter.metrics.add([("a", 3)])
    assert (adapter.count("a"), adapter.count("b"), adapter.count("c")) == (5, 1, 0)


async def test_the_log_has_the_newest_entries_first(opened: Open) -> None:
    adapter = await opened()
    for number in range(3):
        adapter.log.append(LogEntry(who="me", action="dead.discard", numbers={"n": number}, reason="why\nnot"))
        adapter.pass_time(1)
    found = adapter.log.newest(2)
    assert [one.numbers["n"] for one in found] == [2, 1] and found[0].at_ms > found[1].at_ms
    assert (found[0].who, found[0].action, found[0].reason) == ("me", "dead.discard", "why\nnot")


async def test_an_accounting_that_is_away_says_so(opened: Open) -> None:
    adapter = await opened(away=True)
    with pytest.raises(StoreError):
        adapter.accounting.book("m", TASK, QUEUE, [uuid4()])
    with pytest.raises(StoreError):
        adapter.starts.add("m")
