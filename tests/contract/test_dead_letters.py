"""Dead letters: kept within bounds in the order of burial, until their events are published or given up."""

from uuid import uuid4

import pytest

from bridge.model.dead_letter import Tombstone
from bridge.model.errors import StoreError
from tests.contract.conftest import Open
from tests.support.adapters import Adapter
from tests.support.telling import NOW, QUEUE, TASK, event, letter, name_of, publish, record

EVER = (0, 2**53)


def buried(adapter: Adapter, number: int = 1, queue: str = QUEUE) -> list[str]:
    """Events of one message that were all given up, one after the other."""
    ids = [uuid4() for _ in range(number)]
    message = str(uuid4())
    adapter.accounting.book(message, TASK, QUEUE, ids)
    for one in ids:
        adapter.dead_letters.bury([letter(str(one), queue)], message_id=message)
        adapter.pass_time(1)
    return [str(one) for one in ids]


def ids(adapter: Adapter, **options: object) -> list[str]:
    return [head.letter_id for head in adapter.dead_letters.heads(between_ms=EVER, **options)]  # type: ignore[arg-type]


def stone(letter_id: str) -> Tombstone:
    return Tombstone(letter_id=letter_id, at=NOW, who="me", reason="old", task=TASK, error_class="ValueError")


async def test_letters_are_listed_in_the_order_of_burial_with_what_a_search_asks_for(opened: Open) -> None:
    adapter = await opened()
    first = buried(adapter, 3)
    other = buried(adapter, 1, queue="bridge.other")
    assert ids(adapter) == [*first, *other]
    assert ids(adapter, newest_first=True) == [*other, *reversed(first)]
    assert ids(adapter, conditions=[["bridge.other", "nowhere"], [TASK]]) == other
    heads = list(adapter.dead_letters.heads(between_ms=EVER))
    assert heads[0].error_class == "ValueError" and heads[0].task == TASK
    between = (heads[1].buried_ms, heads[2].buried_ms)
    assert [head.letter_id for head in adapter.dead_letters.heads(between_ms=between)] == first[1:]


async def test_pages_follow_on_each_other_while_letters_come_and_go(opened: Open) -> None:
    adapter = await opened()
    assert adapter.dead_letters.span_ms() == (0, 0)
    names = buried(adapter, 7)
    first, last = adapter.dead_letters.span_ms()
    page = adapter.dead_letters.look(between_ms=(first, last), take=3)
    assert [one.letter_id for one in page.found] == names[:3:-1] and page.more
    adapter.dead_letters.discard([stone(names[4]), stone(names[2])])
    buried(adapter)
    seen = []
    while page.more:
        page = adapter.dead_letters.look(between_ms=(first, last), cursor=page.cursor, take=1)
        seen += [one.letter_id for one in page.found]
    assert seen == [names[3], names[1], names[0]]


async def test_burying_again_rewrites_the_letter_and_counts_it_once(opened: Open) -> None:
    adapter = await opened()
    first, second = buried(adapter, 2)
    adapter.dead_letters.bury([letter(first, "bridge.other")])
    assert adapter.dead_letters.count() == 2 and ids(adapter) == [second, first]
    assert adapter.dead_letters.get_many([first, str(uuid4())])[first].queue == "bridge.other"
    assert [one.number for one in adapter.dead_letters.history([first])[first]] == [1]
    assert adapter.count("dead") == 2 and adapter.balance().balanced


async def test_a_letter_ends_the_retry_of_its_event(opened: Open) -> None:
    adapter = await opened()
    name = uuid4()
    adapter.accounting.book("m", TASK, QUEUE, [name])
    adapter.retries.add([(record(str(name)), 0)], message_id="m")
    adapter.dead_letters.bury([letter(str(name))])
    assert adapter.retries.count() == 0 and adapter.dead_letters.count() == 1
    adapter.retries.add([(record(str(name), attempt=2), 0)])
    assert adapter.retries.count() == 0, "a second run of what is dead does not wait beside it"
    assert adapter.balance().balanced


async def test_a_redriven_letter_is_gone_when_its_event_is_published(opened: Open) -> None:
    adapter = await opened()
    one = event()
    adapter.accounting.book("m", TASK, QUEUE, [one.event.event_id])
    adapter.dead_letters.bury([letter(name_of(one))], message_id="m")
    publish(adapter.publisher, one, message_id="")
    assert adapter.dead_letters.count() == 0 and not ids(adapter)
    assert adapter.balance().balanced and adapter.balance().dead == 0


async def test_a_letter_for_a_whole_message_stands_for_all_of_its_events(opened: Open) -> None:
    adapter = await opened()
    names = [uuid4() for _ in range(5)]
    adapter.accounting.book("m", TASK, QUEUE, names)
    adapter.dead_letters.bury([letter("x")], message_id="m", whole=True, part=[str(name) for name in names[:2]])
    adapter.dead_letters.bury([letter("y")], message_id="m", whole=True)
    adapter.dead_letters.bury([letter("z")], message_id="unheard", whole=True)
    balance = adapter.balance()
    assert (balance.accepted, balance.dead, balance.open) == (6, 6, 0) and balance.balanced
    assert adapter.dead_letters.discard([stone("x"), stone("y")]) == (2, 0)
    balance = adapter.balance()
    assert (balance.dead, balance.discarded) == (1, 5) and balance.balanced


async def test_the_oldest_letters_go_when_there_are_too_many_or_they_are_too_old(opened: Open) -> None:
    adapter = await opened(dead_max=100, dead_ttl_s=100_000)
    names = buried(adapter, 100)
    late = uuid4()
    adapter.accounting.book("late", TASK, QUEUE, [late])
    assert adapter.dead_letters.bury([letter(str(late))], message_id="late") == 1
    assert ids(adapter) == [*names[1:], str(late)]
    adapter.pass_time(100_001)
    (new,) = buried(adapter)
    assert ids(adapter) == [new]
    assert adapter.balance().evicted == 101 and adapter.balance().balanced


async def test_giving_up_is_idempotent_and_final(opened: Open) -> None:
    adapter = await opened()
    first, second = buried(adapter, 2)
    assert adapter.dead_letters.discard([stone(first), stone(str(uuid4()))]) == (1, 0)
    assert adapter.dead_letters.discard([stone(first)]) == (0, 0)
    assert ids(adapter) == [second]
    assert adapter.balance().discarded == 1 and adapter.balance().balanced


async def test_what_has_ended_meanwhile_is_not_buried_if_asked_for(opened: Open) -> None:
    adapter = await opened()
    one = event()
    adapter.accounting.book("m", TASK, QUEUE, [one.event.event_id])
    publish(adapter.publisher, one, message_id="m")
    adapter.dead_letters.bury([letter(name_of(one))], message_id="m", only_unfinished=True)
    assert adapter.dead_letters.count() == 0 and adapter.balance().balanced


async def test_letters_that_are_away_say_so(opened: Open) -> None:
    adapter = await opened(away=True)
    with pytest.raises(StoreError):
        adapter.dead_letters.bury([letter("x")])
    with pytest.raises(StoreError):
        adapter.dead_letters.count()
