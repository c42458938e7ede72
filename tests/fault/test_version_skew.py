"""Producers and workers of different releases: what a worker cannot read is kept, and delivered by one that can."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import redis

from bridge import DomainEvent, Emitter, Registry, Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.model.redrive import RedriveState
from bridge.operations.dry_run import Expected
from bridge.operations.letters import every_letter
from bridge.operations.redrive import Redrives
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, connect
from bridge.wiring import store_of
from tests.fault.load import environment_for, expect_clean, settings_for
from tests.support.keys import user_stream
from tests.support.skewed_catalogs import New, Old, new, old
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

CATALOGS = "tests.support.skewed_catalogs"
NUMBER = 60
PORTION = 30


def _emit(settings: Settings, registry: Registry, events: Sequence[DomainEvent]) -> list[str]:
    emitter = Emitter(settings, registry)
    assert emitter.emit_many(events) == len(events)
    assert emitter.flush(WAIT_S)
    emitter.close()
    return [str(event.event_id) for event in events]


def test_what_an_older_worker_does_not_know_waits_as_letters_for_a_newer_one(
    tmp_path: Path, dice: random.Random
) -> None:
    """A new optional field is passed over; a new class is quarantined; a new queue waits."""
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        user = uuid4()
        client = connect(settings)
        letters = DeadLetters(client, settings)
        placed, refunded, sent = (
            [kind(user_id=user, number=number) for number in range(NUMBER)]
            for kind in (New.OrderPlaced, New.OrderRefunded, New.ParcelSent)
        )
        events = [*placed, *refunded, *sent]
        dice.shuffle(events)
        with running_worker(tmp_path, environment_for(settings, tmp_path, f"{CATALOGS}:old"), name="old"):
            ids = []
            for start in range(0, len(events), PORTION):
                ids += _emit(settings, new, events[start : start + PORTION])
            wait_until(lambda: client.xlen(user_stream(user)) == NUMBER, what="the orders are published")
            wait_until(lambda: not client.exists("unacked", "bridge.orders"), what="the rest is quarantined")
        assert {id_of(event) for event in placed} == _published(client, user)
        assert client.llen("bridge.parcels")
        kept = list(every_letter(letters))
        assert {letter.failure.stage for letter in kept} == {"message"}
        assert all("BRIDGE_REGISTRY" in letter.failure.message for letter in kept)
        with running_worker(tmp_path, environment_for(settings, tmp_path, f"{CATALOGS}:new"), name="new"):
            replays = Redrives(store_of(client, settings), settings, new)
            assert {prediction.expected for prediction in replays.predict(Selection())} == {Expected.RETURNED}
            status = replays.run(replays.begin(Selection()))
            assert (status.state, status.succeeded) == (RedriveState.DONE, len(kept)), status
            verdict = expect_clean(settings, [user], ids)
        assert verdict.published == 3 * NUMBER
        print(f"an older worker, then a newer one: {verdict}; {len(kept)} messages had been quarantined")
        client.close()


def test_what_a_newer_worker_misses_is_kept_with_its_envelope(tmp_path: Path) -> None:
    """An optional field gets its default; without a required one the envelope is kept, and an older worker reads it."""
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        user = uuid4()
        client = connect(settings)
        letters = DeadLetters(client, settings)
        before = [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)]
        with running_worker(tmp_path, environment_for(settings, tmp_path, f"{CATALOGS}:new"), name="new"):
            ids = _emit(settings, old, before)
            wait_until(lambda: client.xlen(user_stream(user)) == NUMBER, what="the orders are published")
        assert Counter(fields[b"data"] for _, fields in client.xrange(user_stream(user))) == {
            b'{"number":%d,"note":"none"}' % number: 1 for number in range(NUMBER)
        }
        after = [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)]
        with running_worker(tmp_path, environment_for(settings, tmp_path, f"{CATALOGS}:newest"), name="newest"):
            ids += _emit(settings, old, after)
            wait_until(lambda: letters.count() == NUMBER, what="the orders without amount are kept")
        kept = list(every_letter(letters))
        assert {letter.letter_id for letter in kept} == {id_of(event) for event in after}
        assert {letter.failure.stage for letter in kept} == {"decode"}
        assert all("amount" in letter.failure.message and str(user) in letter.envelope for letter in kept)
        with running_worker(tmp_path, environment_for(settings, tmp_path, f"{CATALOGS}:old"), name="old"):
            _emit(settings, old, after)
            wait_until(lambda: client.xlen(user_stream(user)) == 2 * NUMBER, what="an older worker can")
            verdict = expect_clean(settings, [user], ids)
        print(f"a newer worker, then an older one: {verdict}")
        client.close()


def id_of(event: DomainEvent) -> str:
    return str(event.event_id)


def _published(client: redis.Redis, user: UUID) -> set[str]:
    return {fields[b"event_id"].decode() for _, fields in client.xrange(user_stream(user))}
