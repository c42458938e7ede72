"""Listing, grouping, exporting and discarding dead letters, on a real server."""

import json
import random
from uuid import uuid4

import pytest
import redis

from bridge.operations.letters import Letters
from bridge.operations.selection import Selection
from bridge.redis_adapter import (
    DeadLetters,
    KeptEvents,
    OperationsLog,
    failed_events,
    read_balance,
)
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support import keys
from tests.support.counts import Counts
from tests.support.letters import QUEUE, TASK, a_failure, a_letter, bury

ALL = Selection()
CAUSES = 12


@pytest.fixture
def letters(client: redis.Redis, settings: Settings) -> Letters:
    return Letters(store_of(client, settings))


def test_twelve_causes_over_many_events_are_twelve_pure_groups(client, settings, letters) -> None:
    dice = random.Random(3)
    users = [uuid4() for _ in range(20)]
    wanted: dict[str, set[str]] = {}
    made = []
    for number in range(10_000):
        cause = number % CAUSES
        failure = a_failure(
            f"order {dice.randrange(1 << 30)} of '{uuid4()}' has no mood {cause % 3 * 'x'}",
            error_class=f"shop.Error{cause % 4}",
            place=cause // 4,
        )
        letter = a_letter(failure=failure, user_id=dice.choice(users))
        wanted.setdefault(f"{cause}", set()).add(letter.letter_id)
        made.append(letter)
    bury(client, settings, made)
    groups = letters.groups(ALL)
    assert len(groups) == CAUSES
    assert sum(group.count for group in groups) == 10_000
    for group in groups:
        assert set(letters.ids(Selection(groups=(group.group,)))) in wanted.values()
        assert (group.users, group.users_exact) == (20, True)
        assert sum(group.trend) == group.count
        assert KeptEvents(client).look_up(group.sample).letter.group == group.group


def test_pages_stay_where_they_are_while_letters_come_and_go(client, settings, letters) -> None:
    made = [a_letter() for _ in range(1000)]
    bury(client, settings, made)
    seen: list[str] = []
    cursor, dice, gone = None, random.Random(5), set()
    while True:
        page = letters.page(ALL, cursor=cursor, limit=37)
        seen += [letter.letter_id for _, letter in page.letters]
        cursor = page.next
        if cursor is None:
            break
        bury(client, settings, [a_letter()])
        victim = dice.choice(made).letter_id
        gone.add(victim)
        letters.discard_ids([victim, seen[-1]], reason="meanwhile", who="me")
    assert len(seen) == len(set(seen))
    assert {letter.letter_id for letter in made} - gone <= set(seen)
    assert set(seen) <= {letter.letter_id for letter in made}


def test_every_filter_finds_what_it_says(client, settings, letters) -> None:
    user_id = uuid4()
    mine = a_letter(user_id=user_id, failure=a_failure("Needle 7", error_class="shop.Oops"))
    bury(client, settings, [mine, *(a_letter() for _ in range(1500))])
    for filters in (
        {"addresses": (f"user:{user_id}",)},
        {"error_classes": ("Oops",)},
        {"groups": (mine.group[:6],)},
        {"ids": (mine.letter_id,)},
        {"text": "needle"},
    ):
        selection = Selection(**filters)
        assert [letter.letter_id for _, letter in letters.page(selection).letters] == [mine.letter_id], filters
        assert list(letters.ids(selection)) == [mine.letter_id], filters
        assert [group.count for group in letters.groups(selection)] == [1], filters
    assert len(list(letters.ids(Selection(types=("Moody",), categories=("moods",), stages=("extract",))))) == 1501
    assert not list(letters.ids(Selection(types=("Announced",))))


def test_a_damaged_letter_is_shown_and_does_no_harm(client, settings, letters) -> None:
    bury(client, settings, [a_letter()])
    client.hset(keys.DEAD_LETTERS, "odd", b"{not ours")
    client.zadd(keys.DEAD_INDEX, {"odd": 5})
    assert len(letters.page(ALL).letters) == 2
    assert {group.group for group in letters.groups(ALL)} >= {"unreadable"}
    assert letters.discard(Selection(ids=("odd",)), reason="broken", who="me").discarded == 1


def test_what_is_discarded_leaves_a_tombstone_and_the_books_balance(client, settings, letters) -> None:
    kept, lost = a_letter(), a_letter()
    bury(client, settings, [kept, lost])
    done = letters.discard(Selection(ids=(lost.letter_id,)), reason="too old to matter", who="me@here")
    assert (done.discarded, done.in_redrive) == (1, 0)
    tombstone = KeptEvents(client).look_up(lost.letter_id).tombstone
    assert (tombstone.who, tombstone.reason, tombstone.error_class) == ("me@here", "too old to matter", "LookupError")
    assert KeptEvents(client).look_up(lost.letter_id).letter is None
    assert KeptEvents(client).look_up(kept.letter_id).tombstone is None
    assert Counts(client).read()["discarded"] == 1
    assert read_balance(client).balanced
    (entry,) = OperationsLog(client).newest()
    assert (entry.who, entry.action, entry.reason) == ("me@here", "dead.discard", "too old to matter")
    with pytest.raises(ValueError, match="Say why"):
        letters.discard(ALL, reason=" ", who="me")


def test_a_whole_message_that_is_discarded_counts_all_its_events(client, settings, letters) -> None:
    from bridge.redis_adapter.task_queue import Entries

    events = [uuid4() for _ in range(3)]
    Entries(client).enter([("m", TASK, QUEUE, b"".join(event.bytes for event in events))])
    DeadLetters(client, settings).bury([a_letter(raw=b"x")], message_id="m", whole=True)
    letters.discard(ALL, reason="no message", who="me")
    assert Counts(client).read()["discarded"] == 3
    assert read_balance(client).balanced


def test_tombstones_are_bounded_and_what_falls_off_is_counted(client, settings, letters, monkeypatch) -> None:
    monkeypatch.setattr(failed_events, "TOMBSTONES_MAX", 3)
    bury(client, settings, [a_letter() for _ in range(5)])
    letters.discard(ALL, reason="many", who="me")
    assert client.hlen(keys.TOMBSTONES) == client.zcard(keys.TOMBSTONE_TIMES) == 3
    assert Counts(client).read()["tombstones_evicted"] == 2


def test_an_export_masks_contents_unless_it_is_asked_for_them(client, settings, letters) -> None:
    user_id = uuid4()
    bury(client, settings, [a_letter(mode="a secret", user_id=user_id)])
    (masked,) = letters.export(ALL)
    assert "a secret" not in json.dumps(masked)
    assert str(user_id) in masked["envelope"]
    (whole,) = letters.export(ALL, payloads=True)
    assert "a secret" in whole["envelope"]
