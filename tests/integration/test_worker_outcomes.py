"""What becomes of each event in a real worker: published, skipped, retried, dead-lettered; and nothing lost."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis
from kombu import Connection, Producer

from bridge import Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.messages import TaskMessage
from bridge.model.dead_letter import DeadLetter
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, KeptEvents, RetrySet, connect, read_balance
from bridge.wiring import open_queue
from tests.support.counts import COUNT_NAMES, Counts
from tests.support.keys import user_stream
from tests.support.moody_catalog import Announced, Moody, attempts_of, registry
from tests.support.waiting import wait_until
from tests.support.worker import WorkerProcess, moody_environment, running_worker

TASK, QUEUE = "bridge.Moody", "bridge.moods"


@pytest.fixture(scope="module")
def worker(
    tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedServer, moody_dir: Path
) -> Iterator[WorkerProcess]:
    """One worker for all tests here; each starts with an empty database."""
    settings = Settings(broker_url=redis_server.url)
    environment = moody_environment(settings, moody_dir, BRIDGE_TASK_TIME_LIMIT_S="4")
    with running_worker(tmp_path_factory.mktemp("worker"), environment) as process:
        yield process


@pytest.fixture
def outcomes(settings: Settings) -> Iterator["Outcomes"]:
    client = connect(settings)
    yield Outcomes(client, settings)
    client.close()


class Outcomes:
    """What the bridge has in its accounting, its streams and its letters."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self.client = client
        self.retries = RetrySet(client, settings)
        self.dead = DeadLetters(client, settings)

    def wait_for(self, **expected: int) -> None:
        """Until the counts are as expected, nothing waits, no message is under way, and the accounting balances."""
        wanted = {**dict.fromkeys(COUNT_NAMES, 0), **expected}
        wanted.pop("accepted")
        counts = Counts(self.client)

        def as_expected() -> bool:
            found = counts.read()
            return all(found[name] == wanted[name] for name in wanted) and self.at_rest()

        try:
            wait_until(as_expected, what=str(wanted))
        except AssertionError as error:
            raise AssertionError(f"{error}; they are {counts.read()}, at rest: {self.at_rest()}") from None
        assert read_balance(self.client).balanced, read_balance(self.client)

    def at_rest(self) -> bool:
        return not (self.retries.count() or self.client.exists(QUEUE, "unacked"))

    def letter(self) -> DeadLetter:
        (letter,) = every_letter(self.dead)
        return letter

    def published(self, user_id: UUID) -> list[dict[str, str]]:
        entries = self.client.xrange(user_stream(user_id))
        return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]


def test_an_event_is_published_to_its_user_with_its_own_id(worker, emitter, outcomes) -> None:
    user_id = uuid4()
    event = Moody(user_id=user_id, number=7)
    assert emitter.emit(event)
    outcomes.wait_for(published=1)
    (entry,) = outcomes.published(user_id)
    assert entry == {
        "event_id": str(event.event_id),
        "event_type": "mood.shown",
        "user_id": str(user_id),
        "data": '{"number":7,"mode":"ok"}',
        "occurred_at": event.occurred_at.isoformat(),
    }


def test_a_broadcast_needs_no_user(worker, emitter, outcomes) -> None:
    emitter.emit(Announced(user_id=None, text="hello"))
    outcomes.wait_for(published=1)
    assert outcomes.client.xlen("sse:stream:broadcast") == 1


def test_an_event_for_nobody_is_skipped_and_counted(worker, emitter, outcomes) -> None:
    emitter.emit(Moody(user_id=None))
    outcomes.wait_for(skipped=1)
    assert not [key for key in outcomes.client.scan_iter() if b"None" in key]


def test_an_extractor_that_fails_twice_publishes_once(worker, emitter, outcomes, moody_dir) -> None:
    user_id = uuid4()
    event = Moody(user_id=user_id, mode="fail", times=2)
    emitter.emit(event)
    outcomes.wait_for(published=1, retried=2)
    assert attempts_of(moody_dir, event.event_id) == 3
    assert len(outcomes.published(user_id)) == 1


def test_a_retry_comes_later_than_what_followed_it(worker, emitter, outcomes) -> None:
    user_id = uuid4()
    emitter.emit_many([Moody(user_id=user_id, number=1, mode="fail", times=1), Moody(user_id=user_id, number=2)])
    outcomes.wait_for(published=2, retried=1)
    assert [json.loads(entry["data"])["number"] for entry in outcomes.published(user_id)] == [2, 1]


def test_an_extractor_that_always_fails_is_dead_lettered_and_harms_no_other(worker, emitter, outcomes) -> None:
    user_id = uuid4()
    events = [Moody(user_id=user_id, number=n, mode="fail" if n == 3 else "ok", times=99) for n in range(10)]
    emitter.emit_many(events)
    outcomes.wait_for(published=9, retried=2, dead=1)
    assert [json.loads(entry["data"])["number"] for entry in outcomes.published(user_id)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    letter = outcomes.letter()
    assert letter.letter_id == str(events[3].event_id)
    assert (letter.task, letter.queue, letter.failure.stage) == (TASK, QUEUE, "extract")
    assert [attempt.number for attempt in letter.attempts] == [1, 2, 3]
    assert json.loads(letter.envelope)["data"]["number"] == 3
    assert "hunter2" not in letter.failure.message + letter.failure.traceback + worker.text()
    assert "moody_catalog.py" in letter.failure.traceback


def test_a_permanent_error_is_not_retried(worker, emitter, outcomes, moody_dir) -> None:
    event = Moody(user_id=uuid4(), mode="permanent")
    emitter.emit(event)
    outcomes.wait_for(dead=1)
    assert attempts_of(moody_dir, event.event_id) == 1


def test_an_error_whose_text_cannot_be_read_is_dead_lettered_all_the_same(worker, emitter, outcomes) -> None:
    emitter.emit(Moody(user_id=uuid4(), mode="hostile"))
    outcomes.wait_for(retried=2, dead=1)
    assert outcomes.letter().failure.message == "(its text could not be read: RuntimeError)"


def test_a_payload_that_json_cannot_express_is_dead_lettered_at_once(worker, emitter, outcomes) -> None:
    emitter.emit(Moody(user_id=uuid4(), mode="nan"))
    outcomes.wait_for(dead=1)
    assert outcomes.letter().failure.stage == "encode"
    assert "payload.number is not a finite number" in outcomes.letter().failure.message


@pytest.mark.parametrize("mode", ["kill", "exit"])
def test_an_event_that_kills_its_process_is_dead_lettered_and_harms_no_other(worker, emitter, outcomes, mode) -> None:
    user_id = uuid4()
    emitter.emit_many([Moody(user_id=user_id, number=n, mode=mode if n == 1 else "ok", times=99) for n in range(4)])
    # The batch dies as a whole once; then each event is tried again alone.
    outcomes.wait_for(published=3, retried=5, dead=1)
    assert sorted(json.loads(entry["data"])["number"] for entry in outcomes.published(user_id)) == [0, 2, 3]
    assert outcomes.letter().failure.stage == "worker"


def test_an_extractor_that_hangs_is_interrupted_and_retried(worker, emitter, outcomes) -> None:
    user_id = uuid4()
    emitter.emit_many([Moody(user_id=user_id, number=0, mode="hang", times=1), Moody(user_id=user_id, number=1)])
    outcomes.wait_for(published=2, retried=1)


@pytest.mark.parametrize("mode", ["cancelled", "generator exit", "interrupt"])
def test_what_is_no_exception_loses_nothing_either(worker, emitter, outcomes, mode) -> None:
    user_id = uuid4()
    emitter.emit_many([Moody(user_id=user_id, number=n, mode=mode if n == 1 else "ok") for n in range(3)])
    wait_until(
        lambda: outcomes.dead.count() == 1 and len(outcomes.published(user_id)) == 2 and outcomes.at_rest(),
        what="two published, one dead",
    )


def test_an_unreadable_retry_record_becomes_a_letter_and_the_others_move_on(worker, emitter, outcomes) -> None:
    user_id = uuid4()
    outcomes.client.hset("bridge:retry:records", "old", b"1:{not ours")
    outcomes.client.zadd("bridge:retry:due", {"old": 1})
    outcomes.client.hincrby("bridge:counts", "accepted", 1)
    emitter.emit(Moody(user_id=user_id, mode="fail", times=1))
    outcomes.wait_for(published=1, retried=1, dead=1)
    assert KeptEvents(outcomes.client).look_up("old").letter.raw == b"1:{not ours"


def _envelope(**changes: object) -> dict[str, object]:
    event_id = str(uuid4())
    envelope: dict[str, object] = {
        "specversion": "1.0",
        "id": event_id,
        "source": "test",
        "type": "Moody",
        "time": "2026-01-01T00:00:00Z",
        "data": {"user_id": str(uuid4()), "mode": "ok", "number": 1},
    }
    return {name: value for name, value in {**envelope, **changes}.items() if value is not ...}


BAD_ENVELOPES = {
    "no id": _envelope(id=...),
    "id is no UUID": _envelope(id="1 or 1=1"),
    "unknown type": _envelope(type="Unheard"),
    "naive time": _envelope(time="2026-01-01T00:00:00"),
    "wrong version": _envelope(specversion="2.0"),
    "no data": _envelope(data=...),
    "data is a list": _envelope(data=[1]),
    "wrong field type": _envelope(data={"user_id": str(uuid4()), "number": "many"}),
    "user id is no UUID": _envelope(data={"user_id": "x}:evil", "number": 1}),
    "missing field": _envelope(data={"number": 1}),
    "too large": _envelope(data={"user_id": str(uuid4()), "mode": "x" * 70_000}),
    "a string": "hello",
    "a list": [1, 2],
    "null": None,
    "a number": 7,
}


def test_bad_envelopes_are_dead_lettered_and_the_next_event_is_published(worker, settings, outcomes) -> None:
    user_id = uuid4()
    good = _envelope(data={"user_id": str(user_id), "number": 5})
    sender = open_queue(settings, registry)
    envelopes = [json.dumps(bad).encode() for bad in BAD_ENVELOPES.values()]
    sender.send([TaskMessage(task=TASK, queue=QUEUE, envelopes=[*envelopes, json.dumps(good).encode()])])
    sender.close()
    outcomes.wait_for(published=1, dead=len(BAD_ENVELOPES))
    assert len(outcomes.published(user_id)) == 1
    kept = [json.loads(letter.envelope) for letter in every_letter(outcomes.dead)]
    assert all(bad in kept for bad in BAD_ENVELOPES.values())
    assert {letter.failure.stage for letter in every_letter(outcomes.dead)} == {"decode"}


@pytest.mark.parametrize(
    ("args", "kwargs"), [([], {}), ([{"id": 1}], {}), ([[], []], {}), ([], {"envelopes": []}), (["text"], {})]
)
def test_arguments_that_are_no_list_of_envelopes_are_kept(worker, settings, outcomes, args, kwargs) -> None:
    _send_stock_message(settings, args, kwargs)
    outcomes.wait_for(dead=1)
    assert json.loads(outcomes.letter().envelope) == {"args": args, "kwargs": kwargs}


def _send_stock_message(settings: Settings, args: list[object], kwargs: dict[str, object]) -> None:
    """As another language's Celery client would send it."""
    headers = {"lang": "go", "task": TASK, "id": str(uuid4()), "root_id": str(uuid4()), "parent_id": None}
    with Connection(settings.broker_url) as connection:
        Producer(connection).publish([args, kwargs, {}], serializer="json", routing_key=QUEUE, headers=headers)


def test_a_redelivered_message_publishes_nothing_twice(worker, settings, outcomes) -> None:
    user_id = uuid4()
    envelope = json.dumps(_envelope(data={"user_id": str(user_id), "number": 5})).encode()
    sender = open_queue(settings, registry)
    for _ in range(3):
        sender.send([TaskMessage(task=TASK, queue=QUEUE, envelopes=[envelope])])
    sender.close()
    outcomes.wait_for(published=1, duplicate=2)
    assert len(outcomes.published(user_id)) == 1


def _replay(outcomes: Outcomes, settings: Settings, job: str) -> None:
    """Send the one letter again, as a replay does."""
    sender = open_queue(settings, registry)
    sender.send([TaskMessage(task=TASK, queue=QUEUE, envelopes=[outcomes.letter().envelope.encode()], redrive=job)])
    sender.close()


def test_a_replayed_letter_is_published_once_and_leaves_the_dead(worker, emitter, outcomes, settings) -> None:
    user_id = uuid4()
    emitter.emit(Moody(user_id=user_id, mode="permanent", times=1))
    outcomes.wait_for(dead=1)
    letter = outcomes.letter()
    _replay(outcomes, settings, "first")
    wait_until(lambda: not outcomes.dead.count(), what="the letter is gone")
    outcomes.wait_for(dead=1, published=1)
    outcomes.dead.bury([letter])
    outcomes.client.hincrby("bridge:counts", "accepted", 1)
    outcomes.client.hincrby("bridge:counts", "stray", -1)
    outcomes.client.delete("bridge:strays")
    _replay(outcomes, settings, "second")
    outcomes.wait_for(dead=2, published=1, duplicate=1)
    assert len(outcomes.published(user_id)) == 1


def test_a_replayed_letter_that_fails_stays_dead_with_one_attempt_more(worker, emitter, outcomes, settings) -> None:
    emitter.emit(Moody(user_id=uuid4(), mode="permanent"))
    outcomes.wait_for(dead=1)
    _replay(outcomes, settings, "job")
    wait_until(lambda: outcomes.letter().replay == "job", what="it died again")
    outcomes.wait_for(dead=1)
    assert [attempt.number for attempt in outcomes.letter().attempts] == [1, 2]
