"""What a redrive does with dead letters that are old, and its dry run says, on a real server."""

import json
import random
from uuid import uuid4

from bridge import User
from bridge.model.registry import Audience, DomainToSSEMapping, DropAfter, Registry, Supersede
from bridge.operations.letters import every_letter
from bridge.operations.redrive import Redrives
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, PublishedEvents
from bridge.wiring import store_of
from tests.support import keys
from tests.support.counts import Counts
from tests.support.letters import a_letter, bury
from tests.support.moody_catalog import Category, EventType, Moody, registry

ALL = Selection()


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
    client.xadd(keys.stream(User(user_id)), entry)
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
    position = client.xadd(keys.stream(User(user_id)), entry)
    client.set(keys.seen(User(user_id), letter.letter_id), position)
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
