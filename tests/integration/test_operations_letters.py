"""Listing, grouping, exporting and discarding dead letters, and acting on waiting retries, on a real server."""

import json
import random
from uuid import UUID, uuid4

import pytest
import redis

from bridge.model.pipeline.failure import cause_of
from bridge.model.registry import Audience, DomainToSSEMapping, DropAfter, Registry, Supersede
from bridge.model.retry import RetryRecord
from bridge.operations.letters import Letters, every_letter
from bridge.operations.redrive import Redrives
from bridge.operations.retries import Retries
from bridge.operations.selection import Selection
from bridge.redis_adapter import (
    DeadLetters,
    KeptEvents,
    OperationsLog,
    PublishedEvents,
    RetrySet,
    failed_events,
    read_balance,
)
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support import keys
from tests.support.counts import Counts
from tests.support.letters import QUEUE, TASK, a_failure, a_letter, bury
from tests.support.moody_catalog import Category, EventType, Moody, registry
from tests.support.processes import run_cli

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
        {"users": (str(user_id),)},
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


# Staleness


def rules(staleness: object) -> Registry:
    mapping = DomainToSSEMapping(
        Moody,
        EventType.MOOD_SHOWN,
        lambda event: {"number": event.number, "mode": event.mode},
        lambda event: event.user_id,
        audience=Audience.USER,
        staleness=staleness,
    )
    return Registry(event_types=EventType, categories=Category, events=registry.events, mappings=[mapping])


def test_what_is_too_old_is_discarded_and_the_dry_run_says_so(client, settings) -> None:
    bury(client, settings, [a_letter(), a_letter(time="2999-01-01T00:00:00Z")])
    replays = Redrives(store_of(client, settings), settings, rules(DropAfter(3600)))
    assert sorted(found.expected.value for found in replays.predict(ALL)) == ["published", "stale"]
    status = replays.run(replays.begin(ALL), patience_s=0.1)
    assert (status.stale, status.sent) == (1, 1)
    assert Counts(client).read()["discarded"] == 1


def test_only_the_newest_of_a_key_is_replayed(client, settings) -> None:
    user_id = uuid4()
    made = [
        a_letter(user_id=user_id, mode=mode, number=number, time=f"2026-01-01T00:00:0{number}Z")
        for mode in ("a", "b")
        for number in range(5)
    ]
    random.Random(1).shuffle(made)
    bury(client, settings, made)
    replays = Redrives(store_of(client, settings), settings, rules(Supersede("mode")))
    expected = [found.letter_id for found in replays.predict(ALL) if found.expected == "published"]
    status = replays.run(replays.begin(ALL), patience_s=0.1)
    assert (status.sent, status.stale) == (2, 8)
    kept = {
        letter.letter_id: json.loads(letter.envelope)["data"] for letter in every_letter(DeadLetters(client, settings))
    }
    assert sorted((data["mode"], data["number"]) for data in kept.values()) == [("a", 4), ("b", 4)]
    assert sorted(kept) == sorted(expected)


def test_what_is_older_than_a_published_event_of_its_key_does_not_overtake_it(client, settings) -> None:
    user_id = uuid4()
    entry = {"event_id": str(uuid4()), "event_type": "mood.shown", "user_id": str(user_id)}
    entry |= {"data": '{"number":9,"mode":"a"}', "occurred_at": "2026-01-02T00:00:00+00:00"}
    client.xadd(keys.user_stream(user_id), entry)
    bury(client, settings, [a_letter(user_id=user_id, mode="a"), a_letter(user_id=user_id, mode="b")])
    replays = Redrives(store_of(client, settings), settings, rules(Supersede(lambda payload: payload["mode"])))
    status = replays.run(replays.begin(ALL), patience_s=0.1)
    assert (status.sent, status.stale) == (1, 1)


def test_what_cannot_be_compared_is_left_alone(client, settings) -> None:
    bury(client, settings, [a_letter()])
    replays = Redrives(store_of(client, settings), settings, rules(Supersede("gone")))
    status = replays.run(replays.begin(ALL), patience_s=0.1)
    assert (status.undecided, status.sent, DeadLetters(client, settings).count()) == (1, 0, 1)


def test_a_dry_run_shows_what_clients_would_be_told_otherwise(client, settings) -> None:
    user_id = uuid4()
    letter = a_letter(user_id=user_id, mode="new", number=7)
    entry = {"event_id": letter.letter_id, "event_type": "mood.shown", "user_id": str(user_id)}
    entry |= {"data": '{"number":7,"mode":"old"}', "occurred_at": "2026-01-01T00:00:00+00:00"}
    position = client.xadd(keys.user_stream(user_id), entry)
    client.set(keys.user_seen(user_id, letter.letter_id), position)
    bury(client, settings, [letter])
    (found,) = Redrives(store_of(client, settings), settings, rules(None)).predict(ALL)
    assert (found.expected, found.changes) == ("duplicate", {"mode": ("old", "new")})


def test_an_extractor_that_hangs_does_not_hang_the_dry_run(client, settings, tmp_path, monkeypatch) -> None:
    from bridge.operations import dry_run

    monkeypatch.setenv("MOODY_DIR", str(tmp_path))
    bury(client, settings, [a_letter(mode="hang", times=99)])
    monkeypatch.setattr(dry_run, "TIME_LIMIT_S", 0.2)
    found = dry_run.Predictor(PublishedEvents(client, settings), settings, registry, time_limit_s=0.2).predict(
        list(every_letter(DeadLetters(client, settings)))
    )
    assert found[0].expected == "failed"


# Retries


@pytest.fixture
def waiting(client: redis.Redis, settings: Settings) -> list[str]:
    retries = RetrySet(client, settings)
    records = [a_retry(number) for number in range(30)]
    client.hincrby(keys.COUNTS, "accepted", 30)
    client.hincrby(keys.COUNTS, "stray", -30)
    retries.add([(record, 100 + number) for number, record in enumerate(records)])
    client.delete(keys.STRAYS)
    return [record.event_id for record in records]


def a_retry(number: int) -> RetryRecord:
    letter = a_letter(failure=a_failure(f"number {number}", place=number % 3))
    return RetryRecord(
        event_id=letter.letter_id, task=TASK, queue=QUEUE, envelope=letter.envelope, attempts=letter.attempts
    )


def test_retries_are_listed_in_pages_and_grouped(client, settings, waiting) -> None:
    retries = Retries(store_of(client, settings))
    seen, cursor = [], None
    while True:
        page = retries.page(ALL, cursor=cursor, limit=7)
        seen += [found.record.event_id for found in page.retries]
        cursor = page.next
        if cursor is None:
            break
    assert seen == waiting
    assert [group.count for group in retries.groups(ALL)] == [10, 10, 10]
    assert KeptEvents(client).look_up(waiting[0]).waiting.record.attempt == 1
    assert KeptEvents(client).look_up("nope").waiting is None


def test_retries_that_are_being_tried_are_left_alone(client, settings, waiting) -> None:
    retries, store = Retries(store_of(client, settings)), RetrySet(client, settings)
    assert retries.now(Selection(ids=tuple(waiting[:2])), who="me").changed == 2
    claim = store.claim()
    assert {record.event_id for record in claim.records} == set(waiting[:2])
    store.confirm(claim)
    assert KeptEvents(client).look_up(waiting[0]).waiting.taken
    done = retries.cancel(ALL, reason="enough", who="me")
    assert (done.changed, done.taken) == (28, 2)
    assert DeadLetters(client, settings).count() == 28
    assert retries.now(ALL).taken == 2
    assert read_balance(client).balanced
    assert [entry.action for entry in OperationsLog(client).newest()] == [
        "retries.now",
        "retries.cancel",
        "retries.now",
    ]


# The commands


def test_the_commands_speak_json_and_sentences(client, settings, redis_url, waiting) -> None:
    environment = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry"}
    environment["MOODY_DIR"] = "/nonexistent"
    made = [a_letter(mode="a secret") for _ in range(3)]
    bury(client, settings, made)

    def run(*arguments: str) -> object:
        answer = run_cli(*arguments, environment=environment)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    page = run("dead", "list", "--limit", "2", "--json")
    assert "a secret" not in json.dumps(page)
    rest = run("dead", "list", "--after", page["next"], "--json", "--payloads")
    assert [row["letter_id"] for row in page["letters"] + rest["letters"]] == [
        letter.letter_id for letter in sorted(made, key=lambda letter: letter.letter_id, reverse=True)
    ]
    assert "a secret" in json.dumps(rest)
    assert run("dead", "groups", "--json")[0]["count"] == 3
    assert run("dead", "show", made[0].letter_id, "--json")["letter_id"] == made[0].letter_id
    assert len(run("retries", "list", "--json")["retries"]) == 30
    assert run("retries", "cancel", "--yes", "--json") == {"changed": 30, "taken": 0}
    assert run("dead", "discard", "--id", made[0].letter_id, "--reason", "test", "--json")["discarded"] == 1
    assert run("dead", "show", made[0].letter_id, "--json")["discarded"]["reason"] == "test"
    assert [entry["action"] for entry in run("dead", "log", "--json")] == ["dead.discard", "retries.cancel"]
    refused = run_cli("dead", "discard", "--reason", "all", environment=environment)
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    wrong = run_cli("dead", "list", "--since", "yesterday", environment=environment)
    assert (wrong.returncode, "is no time" in wrong.stderr) == (2, True)


def test_the_commands_speak_to_people(client, settings, redis_url, waiting) -> None:
    environment = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry"}
    environment["MOODY_DIR"] = "/nonexistent"
    ann, bo = UUID(int=1), UUID(int=2)
    made = [a_letter(mode="a secret", user_id=user) for user in (ann, ann, bo)]
    bury(client, settings, [*made, a_letter(raw=b"\x1b[2Jjunk", failure=a_failure("odd", place=2))])

    def run(*arguments: str, code: int = 0) -> str:
        answer = run_cli(*arguments, environment=environment)
        assert (answer.returncode, "Traceback (most" in answer.stderr) == (code, False), answer
        return answer.stdout + answer.stderr

    causes = run("dead", "groups")
    assert "3 times, 2 users" in causes
    assert f"where   extract: {cause_of(a_failure()).place}" in causes
    assert "4 dead letters of 2 causes." in causes
    users = run("dead", "users", "--group", made[0].group)
    assert [line.split()[:2] for line in users.splitlines() if "-0000-" in line] == [[str(ann), "2"], [str(bo), "1"]]
    assert users.endswith("Hit: 2 users.\n")
    shown = run("dead", "show", made[0].letter_id)
    assert f"user        {ann}" in shown
    assert "\n    return look_up(event)\n" in shown
    assert "a secret" not in shown
    assert "a secret" in run("dead", "show", made[0].letter_id, "--payloads")
    run("dead", "discard", "--id", made[0].letter_id, "--reason", "test")
    assert "reason      test" in run("dead", "show", made[0].letter_id)
    assert "attempt 1" in run("retries", "show", waiting[0])
    for words in ("dead list", "dead users", "dead redrive", "retries list"):
        assert "matches." in run(*words.split(), "--group", "00000000000f")
    assert "keeps its own" in run("dead", "redrive", "--resume", "1f0c6a3b92de", "--rate", "5", code=2)
    assert "--dry-run takes filters" in run("dead", "redrive", "--resume", "1f0c6a3b92de", "--dry-run", code=2)
