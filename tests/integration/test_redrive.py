"""Replaying dead letters with a real worker: nothing twice, nothing forgotten, and it stops when it should."""

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import uuid4

import redis
from msgspec.structs import replace

from bridge import Emitter, User
from bridge.model.dead_letter import DeadLetter
from bridge.model.redrive import RedriveState
from bridge.operations.dry_run import Expected
from bridge.operations.letters import every_letter
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, OperationsLog, read_balance
from tests.support import keys
from tests.support.counts import Counts, published_ids
from tests.support.keys import user_stream
from tests.support.letters import QUEUE, a_letter, bury
from tests.support.moody_catalog import Moody, registry
from tests.support.processes import run_cli
from tests.support.waiting import WAIT_S, wait_until

ALL = Selection()


def at_rest(client: redis.Redis) -> bool:
    return not client.exists(QUEUE, "unacked")


def test_all_letters_are_published_once_and_the_books_balance(worker, client, settings, replays) -> None:
    letters = [a_letter() for _ in range(1200)]
    bury(client, settings, letters)
    status = replays.run(replays.begin(ALL, who="me@here"))
    assert (status.state, status.succeeded, status.failed) == (RedriveState.DONE, 1200, 0)
    assert published_ids(client) == sorted(letter.letter_id for letter in letters)
    assert DeadLetters(client, settings).count() == 0
    assert read_balance(client).balanced
    assert not client.hlen(keys.IN_REDRIVE)
    assert not client.hlen(keys.DEAD_HEADS)
    first, last = OperationsLog(client).newest()[::-1]
    assert (first.action, last.action, last.numbers["succeeded"]) == ("dead.redrive.begin", "dead.redrive.done", 1200)
    assert first.who == "me@here"


def test_what_dies_again_is_met_once_and_stays_with_one_attempt_more(worker, client, settings, replays) -> None:
    """Sidekiq #6481 looped for ever, #6936 skipped half while it walked over a set that changed."""
    letters = [a_letter(mode="permanent" if n % 2 else "ok") for n in range(600)]
    bury(client, settings, letters)
    status = replays.run(replays.begin(ALL))
    assert (status.state, status.sent, status.succeeded, status.failed) == (RedriveState.DONE, 600, 300, 300)
    kept = list(every_letter(DeadLetters(client, settings)))
    assert {letter.replay for letter in kept} == {status.redrive_id}
    assert [len(letter.attempts) for letter in kept] == [2] * 300
    assert read_balance(client).balanced


def test_events_that_were_published_already_change_no_stream(worker, client, settings, replays) -> None:
    letters = [a_letter() for _ in range(50)]
    bury(client, settings, letters)
    replays.run(replays.begin(ALL))
    wait_until(lambda: at_rest(client), what="the worker rests")
    before = {stream: client.xrange(stream) for stream in client.scan_iter("sse:stream:user:*")}
    bury(client, settings, letters)
    assert replays.run(replays.begin(ALL)).succeeded == 50
    assert {stream: client.xrange(stream) for stream in client.scan_iter("sse:stream:user:*")} == before
    assert Counts(client).read()["duplicate"] == 50
    assert read_balance(client).balanced


def test_a_selection_replays_its_letters_and_no_other(worker, client, settings, replays) -> None:
    mine, theirs = uuid4(), uuid4()
    letters = [a_letter(user_id=mine if n < 10 else theirs) for n in range(30)]
    bury(client, settings, letters)
    assert replays.run(replays.begin(Selection(addresses=(f"user:{mine}",)))).succeeded == 10
    assert (client.xlen(user_stream(mine)), client.xlen(user_stream(theirs))) == (10, 0)


def test_a_canary_with_a_third_still_failing_stops_within_its_size(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter(mode="permanent" if n % 10 < 3 else "ok") for n in range(500)])
    status = replays.run(replays.begin(ALL, canary=50))
    assert status.state is RedriveState.STOPPED
    assert status.sent <= 50
    assert "failed again" in status.reason
    assert DeadLetters(client, settings).count() >= 450


def test_a_canary_that_succeeds_lets_the_rest_follow(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter() for _ in range(300)])
    status = replays.run(replays.begin(ALL, canary=20))
    assert (status.state, status.succeeded) == (RedriveState.DONE, 300)


def test_a_brake_without_a_canary_stops_the_rest(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter(mode="permanent") for _ in range(9000)])
    status = replays.run(replays.begin(ALL, max_failures=0.5))
    assert status.state is RedriveState.STOPPED
    assert status.pending > 0


def test_the_rate_is_kept(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter() for _ in range(60)])
    begun = client.time()[0] * 1e6 + client.time()[1]
    replays.run(replays.begin(ALL, rate=40))
    assert client.time()[0] * 1e6 + client.time()[1] - begun >= 1.2e6


def test_new_events_do_not_wait_for_all_that_is_replayed(worker, client, settings, replays, moody_dir) -> None:
    """SQS mixes what it redrives with new traffic. These letters take their extractor 20 s in all."""
    bury(client, settings, [a_letter(mode="slow") for _ in range(1000)])
    redrive_id = replays.begin(ALL)
    live = Moody(user_id=uuid4())
    with closing(Emitter(settings, registry)) as emitter, ThreadPoolExecutor(1) as thread:
        enough = threading.Event()
        running = thread.submit(replays.run, redrive_id, should_stop=enough.is_set)
        wait_until(lambda: replays.known(redrive_id).succeeded, what="the replay is under way")
        emitter.emit(live)
        wait_until(lambda: client.exists(user_stream(live.user_id)), what="the new event is published")
        enough.set()
        assert running.result(WAIT_S).pending > 500
    wait_until(lambda: at_rest(client), what="the worker rests")


def test_what_nobody_can_send_is_left_alone(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter(raw=b"\xff"), a_letter(task="bridge.Gone"), a_letter()])
    status = replays.run(replays.begin(ALL))
    assert (status.succeeded, status.unsendable) == (1, 2)
    assert DeadLetters(client, settings).count() == 2


MODES = ("ok", "permanent", "nan", "nobody", "published", "wrong kind", "no fit", "too large")


def _letter_in(mode: str, client: redis.Redis) -> DeadLetter:
    """A letter that will end in a certain way."""
    user_id = uuid4()
    if mode == "wrong kind":
        client.set(user_stream(user_id), "not a stream")
    letter = a_letter(mode={"permanent": "permanent", "nan": "nan"}.get(mode, "ok"), user_id=user_id)
    envelope = json.loads(letter.envelope)
    if mode == "nobody":
        envelope["data"]["user_id"] = None
    elif mode == "no fit":
        envelope["data"]["number"] = "many"
    elif mode == "too large":
        envelope["data"]["mode"] = "x" * 70_000
    elif mode == "published":
        client.set(keys.seen(User(user_id), letter.letter_id), "1-1", ex=100)
    return replace(letter, envelope=json.dumps(envelope))


def test_a_dry_run_predicts_the_replay_exactly_and_publishes_nothing(worker, client, settings, replays) -> None:
    dice = random.Random(7)
    letters = [_letter_in(dice.choice(MODES), client) for _ in range(400)]
    bury(client, settings, letters)
    before = _books_and_keys(client)
    predicted = {prediction.letter_id: prediction.expected for prediction in replays.predict(ALL)}
    assert _books_and_keys(client) == before
    status = replays.run(replays.begin(ALL))
    failed = {letter.letter_id for letter in every_letter(DeadLetters(client, settings))}
    assert failed == {letter_id for letter_id, expected in predicted.items() if expected is Expected.FAILED}
    assert set(published_ids(client)) == {
        name for name, expected in predicted.items() if expected is Expected.PUBLISHED
    }
    counts = Counts(client).read()
    for name in (Expected.PUBLISHED, Expected.SKIPPED, Expected.DUPLICATE):
        assert counts[name.value] == list(predicted.values()).count(name), name
    assert status.failed == len(failed)


def _books_and_keys(client: redis.Redis) -> tuple[dict[str, int], set[bytes]]:
    """What a dry run must leave alone, without what the worker that idles beside it writes every few seconds."""
    of_worker = {key.encode() for key in (keys.WORKERS, keys.RECENT, keys.QUEUES, keys.PROBE)}
    found = {key for key in client.scan_iter(count=1000) if not key.startswith(b"_kombu")}
    return Counts(client).read(), found - of_worker


def test_the_command_replays_and_says_what_came_of_it(worker, client, settings, environment) -> None:
    bury(client, settings, [a_letter(mode="permanent" if n == 3 else "ok") for n in range(20)])
    dry = run_cli("dead", "redrive", "--dry-run", environment=environment)
    assert "19 published, 1 failed" in dry.stdout, dry.stderr
    refused = run_cli("dead", "redrive", environment=environment)
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    answer = run_cli("dead", "redrive", "--yes", environment=environment)
    assert answer.returncode == 0, answer.stderr
    assert "is done: 20 total, 19 succeeded, 1 failed" in answer.stdout
    shown = run_cli("dead", "redrives", "--json", environment=environment)
    assert [row["state"] for row in json.loads(shown.stdout)] == ["done"]


def test_a_canary_that_fails_is_an_exit_code(worker, client, settings, environment) -> None:
    bury(client, settings, [a_letter(mode="permanent") for _ in range(20)])
    answer = run_cli("dead", "redrive", "--yes", "--canary", "5", environment=environment)
    assert answer.returncode == 3, answer.stderr
    assert "--resume" in answer.stdout
