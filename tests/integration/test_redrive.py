"""Replaying dead letters with a real worker: nothing twice, nothing forgotten, and it stops when it should."""

import json
import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis
from msgspec.structs import replace

from bridge import Emitter
from bridge.local.redis_server import EmbeddedServer
from bridge.messages import TaskMessage
from bridge.model.dead_letter import DeadLetter
from bridge.model.errors import DecodeError, OperationRefusedError
from bridge.model.redrive import RedriveState
from bridge.operations.dry_run import Expected
from bridge.operations.letters import Letters, every_letter
from bridge.operations.redrive.runner import take_lease
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, OperationsLog, StoreClock, connect, read_balance
from bridge.redis_adapter.task_queue import Entries, queue_item
from bridge.settings import Settings
from bridge.wiring import store_of
from bridge.worker.quarantine import Quarantine
from tests.support import keys
from tests.support.counts import Counts
from tests.support.items import envelopes_of
from tests.support.keys import user_stream
from tests.support.letters import QUEUE, TASK, a_letter, bury
from tests.support.moody_catalog import Moody, registry
from tests.support.processes import COMMAND, clean_environment, run_cli
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, moody_environment, running_worker

ALL = Selection()
IDLE_QUEUE = f"idle:{QUEUE}"


@pytest.fixture(scope="module")
def moody_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("moody")
    os.environ["MOODY_DIR"] = str(folder)
    yield folder
    del os.environ["MOODY_DIR"]


@pytest.fixture(scope="module")
def environment(redis_server: EmbeddedServer, moody_dir: Path) -> dict[str, str]:
    return moody_environment(Settings(broker_url=redis_server.url), moody_dir)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[WorkerProcess]:
    with running_worker(tmp_path_factory.mktemp("worker"), environment) as process:
        yield process


def published(client: redis.Redis) -> list[str]:
    """Every event id of every stream, as often as it stands there."""
    streams = list(client.scan_iter("sse:stream:user:*", _type="stream"))
    return sorted(fields[b"event_id"].decode() for stream in streams for _, fields in client.xrange(stream))


def at_rest(client: redis.Redis) -> bool:
    return not client.exists(QUEUE, "unacked")


def test_all_letters_are_published_once_and_the_books_balance(worker, client, settings, replays) -> None:
    letters = [a_letter() for _ in range(1200)]
    bury(client, settings, letters)
    status = replays.run(replays.begin(ALL, who="me@here"))
    assert (status.state, status.succeeded, status.failed) == (RedriveState.DONE, 1200, 0)
    assert published(client) == sorted(letter.letter_id for letter in letters)
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
    assert replays.run(replays.begin(Selection(users=(str(mine),)))).succeeded == 10
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


def test_a_stopped_replay_is_resumed_with_a_new_canary(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter(mode="permanent" if n < 10 else "ok") for n in range(200)])
    redrive_id = replays.begin(ALL, canary=200, max_failures=0.01)
    states = [replays.run(redrive_id).state]
    while states[-1] is RedriveState.STOPPED:
        states.append(replays.run(redrive_id).state)
    assert states[0] is RedriveState.STOPPED, "more than two of ten failures were met"
    assert 2 <= len(states) <= 4, "each turn meets three failures or more"
    assert states[-1] is RedriveState.DONE
    assert len(published(client)) == 190


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


def test_a_replay_that_is_asked_to_stop_pauses_and_goes_on(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter() for _ in range(100)])
    redrive_id = replays.begin(ALL, rate=50)
    seen = []
    paused = replays.run(redrive_id, on_progress=seen.append, should_stop=lambda: bool(seen) and seen[-1].sent > 5)
    assert paused.state is RedriveState.PAUSED
    assert paused.pending > 0
    assert replays.run(redrive_id).state is RedriveState.DONE
    assert len(published(client)) == 100


def test_a_replay_that_is_done_or_unknown_is_not_run(client, replays) -> None:
    redrive_id = replays.begin(ALL)
    assert replays.run(redrive_id).state is RedriveState.DONE
    with pytest.raises(OperationRefusedError, match="is done"):
        replays.run(redrive_id)
    with pytest.raises(OperationRefusedError, match="There is no redrive"):
        replays.run("nope")


def test_two_processes_do_not_run_one_replay(client, settings, idle_replays, monkeypatch) -> None:
    bury(client, settings, [a_letter()])
    redrive_id = idle_replays.begin(ALL)
    monkeypatch.setattr("bridge.operations.redrive.runner.LEASE_S", 0.1)
    take_lease(store_of(client, settings).redrives.job(redrive_id), redrive_id, "other")
    client.hset(keys.redrive(redrive_id), "lease_ends", 1 << 62)
    with pytest.raises(OperationRefusedError, match="is being run by other"):
        idle_replays.run(redrive_id)
    assert client.llen(IDLE_QUEUE) == 0


def test_what_nobody_can_send_is_left_alone(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter(raw=b"\xff"), a_letter(task="bridge.Gone"), a_letter()])
    status = replays.run(replays.begin(ALL))
    assert (status.succeeded, status.unsendable) == (1, 2)
    assert DeadLetters(client, settings).count() == 2


def test_without_a_worker_it_says_so_and_can_be_resumed(client, settings, idle_replays) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    status = idle_replays.run(idle_replays.begin(ALL), patience_s=0.2)
    assert status.state is RedriveState.STALLED
    assert "see that a worker runs" in status.reason
    assert client.llen(IDLE_QUEUE) == 1


def test_what_is_on_its_way_is_neither_discarded_nor_sent_by_another_replay(client, settings, idle_replays) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    idle_replays.run(idle_replays.begin(ALL), patience_s=0.2)
    done = Letters(store_of(client, settings)).discard(ALL, reason="tired of it", who="me")
    assert (done.discarded, done.in_redrive) == (0, 3)
    second = idle_replays.run(idle_replays.begin(ALL), patience_s=0.2)
    assert (second.state, second.busy, second.sent) == (RedriveState.DONE, 3, 0)
    assert client.llen(IDLE_QUEUE) == 1


def test_a_message_that_the_broker_lost_is_sent_again_on_request(client, settings, idle_replays) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    redrive_id = idle_replays.begin(ALL)
    idle_replays.run(redrive_id, patience_s=0.2)
    client.delete(IDLE_QUEUE)
    assert idle_replays.run(redrive_id, patience_s=0.2).state is RedriveState.STALLED
    assert idle_replays.run(redrive_id, patience_s=0.2, resend=True).state is RedriveState.STALLED
    assert client.llen(IDLE_QUEUE) == 1


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
        client.set(keys.user_seen(user_id, letter.letter_id), "1-1", ex=100)
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
    assert set(published(client)) == {name for name, expected in predicted.items() if expected is Expected.PUBLISHED}
    counts = Counts(client).read()
    for name in (Expected.PUBLISHED, Expected.SKIPPED, Expected.DUPLICATE):
        assert counts[name.value] == list(predicted.values()).count(name), name
    assert status.failed == len(failed)


def _books_and_keys(client: redis.Redis) -> tuple[dict[str, int], set[bytes]]:
    """What a dry run must leave alone, without what the worker that idles beside it writes every few seconds."""
    of_worker = {key.encode() for key in (keys.WORKERS, keys.RECENT, keys.QUEUES, keys.PROBE)}
    found = {key for key in client.scan_iter(count=1000) if not key.startswith(b"_kombu")}
    return Counts(client).read(), found - of_worker


def test_killing_the_process_at_any_moment_sends_nothing_twice_and_forgets_nothing(
    client, settings, idle_replays, environment
) -> None:
    """Nobody takes anything off the queue here, so it shows every message that was ever sent."""
    seed = int(os.environ.get("FAULT_SEED", random.randrange(1 << 32)))
    print(f"FAULT_SEED={seed}")
    dice = random.Random(seed)
    letters = [a_letter() for _ in range(3000)]
    bury(client, settings, letters)
    redrive_id = idle_replays.begin(ALL, rate=2000)
    idle_environment = {**environment, "BRIDGE_BROKER_KEYPREFIX": "idle:"}
    with _letters_end(settings):
        for _ in range(5):
            _run_and_kill(client, redrive_id, idle_environment, after_s=dice.uniform(0, 0.25))
        status = idle_replays.run(redrive_id, patience_s=10)
    assert (status.state, status.succeeded) == (RedriveState.DONE, 3000), status
    sent = _ids_on_the_queue(client)
    assert sorted(sent) == sorted(letter.letter_id for letter in letters)


def test_killing_it_while_a_worker_consumes_publishes_each_event_once(
    worker, client, settings, replays, environment
) -> None:
    """Among the letters are quarantined messages, which go back as they were."""
    seed = int(os.environ.get("FAULT_SEED", random.randrange(1 << 32)))
    print(f"FAULT_SEED={seed}")
    dice = random.Random(seed)
    letters = [a_letter(mode="permanent" if n % 100 == 0 else "ok") for n in range(2000)]
    bury(client, settings, letters)
    wholes = [_quarantine(client, settings) for _ in range(200)]
    redrive_id = replays.begin(ALL, rate=1500)
    for _ in range(5):
        _run_and_kill(client, redrive_id, environment, after_s=dice.uniform(0, 0.25))
    status = replays.run(redrive_id, patience_s=20)
    assert (status.state, status.succeeded, status.failed, status.gone) == (RedriveState.DONE, 2180, 20, 0)
    expected = [letter.letter_id for n, letter in enumerate(letters) if n % 100]
    assert published(client) == sorted([*expected, *(event_id for ids in wholes for event_id in ids)])
    balance = read_balance(client)
    assert (balance.balanced, balance.dead, balance.open, balance.duplicate) == (True, 20, 0, 0)


def _quarantine(client: redis.Redis, settings: Settings) -> list[str]:
    """Have an announced message of three events in quarantine; their ids."""
    letters = [a_letter() for _ in range(3)]
    event_ids = b"".join(UUID(letter.letter_id).bytes for letter in letters)
    envelopes = [letter.envelope.encode() for letter in letters]
    message = TaskMessage(task=TASK, queue=QUEUE, envelopes=envelopes, event_ids=event_ids)
    Entries(client).enter([(message.message_id, TASK, QUEUE, event_ids)])
    raw = queue_item(message, announced=True)
    quarantine = Quarantine(DeadLetters(client, settings), StoreClock(client))
    quarantine(raw, QUEUE, DecodeError("No task is called that."), task=TASK, booked_as=message.message_id)
    return [letter.letter_id for letter in letters]


def _run_and_kill(client: redis.Redis, redrive_id: str, environment: dict[str, str], *, after_s: float) -> None:
    command = [*COMMAND, "dead", "redrive", "--resume", redrive_id, "--json"]
    process = subprocess.Popen(command, env=clean_environment(environment), stdout=subprocess.DEVNULL)
    wait_until(lambda: client.hget(keys.redrive(redrive_id), "owner"), what="it runs")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    client.hset(keys.redrive(redrive_id), mapping={"lease_ends": 0, "owner": ""})  # instead of waiting for its end


@contextmanager
def _letters_end(settings: Settings) -> Iterator[None]:
    """Have letters whose events stand on the idle queue end, as if a worker had published them."""
    over = threading.Event()

    def end_letters() -> None:
        with connect(settings) as client:
            ended = 0
            while not over.is_set():
                items = client.lrange(IDLE_QUEUE, 0, -1 - ended)
                ended += len(items)
                for letter_id in _ids_in(items):
                    client.zrem(keys.DEAD_INDEX, letter_id)
                    client.hdel(keys.DEAD_LETTERS, letter_id)
                over.wait(0.005)

    with ThreadPoolExecutor(1) as thread:
        ending = thread.submit(end_letters)
        try:
            yield
        finally:
            over.set()
        ending.result()


def _ids_on_the_queue(client: redis.Redis) -> list[str]:
    return _ids_in(client.lrange(IDLE_QUEUE, 0, -1))


def _ids_in(items: Iterable[bytes]) -> list[str]:
    return [envelope["id"] for item in items for envelope in envelopes_of(item)]


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
