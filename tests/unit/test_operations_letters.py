"""Listing, grouping and giving up dead letters, on the twins."""

from uuid import uuid4

import pytest

from bridge.model.errors import StoreError
from bridge.operations.letters import Letters
from bridge.operations.selection import Selection
from bridge.testing import MemoryStore
from tests.support.telling import QUEUE, TASK, letter

ALL = Selection()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def letters(store: MemoryStore) -> Letters:
    return Letters(store)


def bury(store: MemoryStore, number: int) -> list[str]:
    ids = [uuid4() for _ in range(number)]
    store.accounting.book(str(ids[0]), TASK, QUEUE, ids)
    for one in ids:
        store.clock.advance(1)
        store.dead_letters.bury([letter(str(one))], message_id=str(ids[0]))
    return [str(one) for one in ids]


def test_pages_hold_each_letter_once_newest_first(store: MemoryStore, letters: Letters) -> None:
    names = bury(store, 120)
    seen, cursor = [], None
    while True:
        page = letters.page(ALL, cursor=cursor, limit=50)
        seen += [one.letter_id for _, one in page.letters]
        cursor = page.next
        if cursor is None:
            break
    assert seen == names[::-1]


def test_letters_of_one_cause_are_one_group(store: MemoryStore, letters: Letters) -> None:
    bury(store, 30)
    (group,) = letters.groups(ALL)
    assert group.count == 30 and group.cause.error_class == "ValueError"


def test_what_is_given_up_is_gone_counted_and_in_the_log(store: MemoryStore, letters: Letters) -> None:
    bury(store, 20)
    done = letters.discard(ALL, reason="a test", who="me")
    assert done.discarded == 20 and not letters.page(ALL).letters
    assert store.balance().discarded == 20 and store.balance().balanced
    (entry,) = store.log.newest()
    assert (entry.action, entry.who, entry.reason, entry.numbers["discarded"]) == ("dead.discard", "me", "a test", 20)
    with pytest.raises(ValueError, match="Say why"):
        letters.discard_ids([str(uuid4())], reason=" ", who="me")


def test_a_store_that_is_away_says_so(store: MemoryStore, letters: Letters) -> None:
    store.faults.go_away()
    with pytest.raises(StoreError):
        letters.page(ALL)
