"""Replaying letters that hold a whole quarantined message: it goes back as it was, and the books follow."""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from uuid import UUID, uuid4

import pytest
import redis
from msgspec.structs import replace

from bridge.local.redis_server import EmbeddedServer
from bridge.messages import TaskMessage
from bridge.model.errors import DecodeError
from bridge.model.redrive import RedriveState, RedriveStatus
from bridge.model.retry import RetryRecord
from bridge.operations.dry_run import Expected
from bridge.operations.letters import every_letter
from bridge.operations.redrive import Redrives
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, Ledger, RetrySet, StoreClock, read_balance
from bridge.redis_adapter.task_queue import Entries, queue_item
from bridge.settings import Settings
from bridge.wiring import store_of
from bridge.worker.quarantine import Quarantine
from tests.support import keys
from tests.support.counts import Counts
from tests.support.keys import user_stream
from tests.support.letters import QUEUE, TASK, a_letter, bury, held_bytes
from tests.support.moody_catalog import registry
from tests.support.waiting import wait_until
from tests.support.worker import WorkerProcess, moody_environment, running_worker

ALL = Selection()
USER = uuid4()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedServer) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    environment = moody_environment(Settings(broker_url=redis_server.url), folder, BRIDGE_BROKER_KEYPREFIX="mine:")
    with running_worker(folder, environment) as process:
        yield process


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, broker_keyprefix="mine:")


@pytest.fixture(autouse=True)
def _bytes_are_known(client: redis.Redis) -> Iterator[None]:
    yield
    held_bytes(client)


class Quarantined:
    """Puts messages into quarantine, as an older worker does."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self.client = client
        self.entries = Entries(client)
        self._quarantine = Quarantine(DeadLetters(client, settings), StoreClock(client))

    def __call__(self, message: TaskMessage, *, announced: bool = True, part: Sequence[str] | None = None) -> bytes:
        """Announced messages are entered into the books first."""
        if announced and message.event_ids:
            self.entries.enter([(message.message_id, message.task, message.queue, message.event_ids)])
        raw = queue_item(message, announced=announced)
        booked_as = message.booked_as or message.message_id
        error = DecodeError("No task is called that.")
        self._quarantine(raw, message.queue, error, task=message.task, booked_as=booked_as, part=part)
        return raw


@pytest.fixture
def quarantined(client: redis.Redis, settings: Settings) -> Quarantined:
    return Quarantined(client, settings)


def a_message(number: int = 5, *, task: str = TASK, **parts: object) -> TaskMessage:
    letters = [a_letter(user_id=USER, number=n) for n in range(number)]
    return TaskMessage(
        task=task,
        queue=QUEUE,
        envelopes=[letter.envelope.encode() for letter in letters],
        event_ids=b"".join(UUID(letter.letter_id).bytes for letter in letters),
        **parts,  # type: ignore[arg-type]
    )


def ids_in(message: TaskMessage) -> list[str]:
    return [json.loads(envelope)["id"] for envelope in message.envelopes]


def published(client: redis.Redis) -> list[str]:
    return sorted(fields[b"event_id"].decode() for _, fields in client.xrange(user_stream(USER)))


def replay(replays: Redrives) -> RedriveStatus:
    return replays.run(replays.begin(ALL), patience_s=20)


def test_messages_go_back_with_their_bytes_and_the_books_follow(client, idle_replays, quarantined) -> None:
    raw = quarantined(a_message())
    before = read_balance(client)
    assert (before.dead, before.open) == (5, 0)
    (prediction,) = idle_replays.predict(ALL)
    assert (prediction.expected, prediction.note) == (Expected.RETURNED, "goes back to its queue as it was")
    status = idle_replays.run(idle_replays.begin(ALL), patience_s=0.2)
    assert (status.state, status.under_way) == (RedriveState.STALLED, 1)
    assert client.lrange(f"idle:{QUEUE}", 0, -1) == [raw]
    after = read_balance(client)
    assert (after.dead, after.open, after.accepted, after.balanced) == (0, 5, 5, True)
    assert not client.exists(keys.DEAD_INDEX, keys.DEAD_LETTERS, keys.DEAD_HEADS, keys.DEAD_WEIGHTS)


def test_its_events_are_published_once_and_what_they_were_is_closed(client, replays, quarantined, worker) -> None:
    messages = [a_message(50), a_message(1)]  # a large body is compressed
    for message in messages:
        quarantined(message)
    status = replay(replays)
    assert (status.state, status.succeeded) == (RedriveState.DONE, 2)
    assert published(client) == sorted(ids_in(messages[0]) + ids_in(messages[1]))
    balance = read_balance(client)
    assert (balance.balanced, balance.published, balance.open, balance.duplicate) == (True, 51, 0, 0)
    assert not client.exists(keys.OPEN, keys.of_redrive(status.redrive_id)["returned"])


def test_of_a_message_that_nobody_announced_every_event_is_accepted(client, replays, quarantined, worker) -> None:
    message = a_message(7)
    quarantined(message, announced=False)
    assert read_balance(client).accepted == 1
    assert replay(replays).succeeded == 1
    balance = read_balance(client)
    assert (balance.balanced, balance.accepted, balance.published, balance.open) == (True, 7, 7, 0)


def test_a_part_of_a_message_joins_the_rest_that_is_on_its_way(client, settings, idle_replays, quarantined) -> None:
    whole = a_message(3)
    quarantined.entries.enter([(whole.message_id, TASK, QUEUE, whole.event_ids)])
    part = TaskMessage(task=TASK, queue=QUEUE, envelopes=whole.envelopes[:1], booked_as=whole.message_id)
    quarantined(part, part=ids_in(part))
    assert idle_replays.run(idle_replays.begin(ALL), patience_s=0.2).under_way == 1
    (record,) = Ledger(client, settings).get([whole.message_id])
    assert sorted(map(str, record.event_ids)) == sorted(ids_in(whole))
    assert read_balance(client).balanced


def test_waiting_retries_stay_where_the_books_have_them(client, settings, replays, quarantined, worker) -> None:
    """The mover had sent the message; the event is in the retry set until it has ended."""
    message = a_message(1, attempt=2)
    (event_id,) = ids_in(message)
    quarantined.entries.enter([("first", TASK, QUEUE, message.event_ids)])
    record = RetryRecord(
        event_id=event_id, task=TASK, queue=QUEUE, envelope=message.envelopes[0].decode(), attempts=a_letter().attempts
    )
    RetrySet(client, settings).add([(record, 600.0)], message_id="first", event_type="mood.shown")
    quarantined(as_moved(message))
    assert replay(replays).succeeded == 1
    wait_until(lambda: published(client) == [event_id], what="it is published")
    balance = read_balance(client)
    assert (balance.balanced, balance.retrying, balance.open, balance.dead) == (True, 0, 0, 0)


def as_moved(message: TaskMessage) -> TaskMessage:
    """As the mover sends it: without entering anything into the books."""
    return TaskMessage(task=message.task, queue=message.queue, envelopes=message.envelopes, attempt=message.attempt)


def test_what_is_quarantined_again_is_the_same_letter_and_failed(
    client, settings, replays, worker, quarantined
) -> None:
    message = a_message(4, task="bridge.OfTomorrow")
    quarantined(message)
    (before,) = every_letter(DeadLetters(client, settings))
    (prediction,) = replays.predict(ALL)
    assert prediction.expected is Expected.FAILED
    assert prediction.note.startswith("would be quarantined again: No task is called 'bridge.OfTomorrow'")
    for _ in range(2):
        status = replay(replays)
        assert (status.state, status.failed, status.succeeded) == (RedriveState.DONE, 1, 0)
        (after,) = every_letter(DeadLetters(client, settings))
        assert (after.letter_id, after.raw) == (before.letter_id, before.raw)
        balance = read_balance(client)
        assert (balance.balanced, balance.dead, balance.accepted, balance.open) == (True, 4, 4, 0)


def test_a_canary_that_is_quarantined_again_stops_the_rest(client, settings, replays, worker, quarantined) -> None:
    for _ in range(20):
        quarantined(a_message(2, task="bridge.OfTomorrow"))
    status = replays.run(replays.begin(ALL, canary=3), patience_s=20)
    assert (status.state, status.sent, status.pending) == (RedriveState.STOPPED, 3, 17)
    assert read_balance(client).balanced


def test_the_rate_counts_events(client, replays, worker, quarantined) -> None:
    for _ in range(4):
        quarantined(a_message(20))
    begun = client.time()[0] * 1e6 + client.time()[1]
    assert replays.run(replays.begin(ALL, rate=50)).succeeded == 4
    assert client.time()[0] * 1e6 + client.time()[1] - begun >= 1.0e6


def _parts(**changes: object) -> bytes:
    return json.dumps({**json.loads(queue_item(a_message(1), announced=False)), **changes}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        b"[]",
        b'{"headers": {}}',
        b"[" * 100_000,
        _parts(headers={"id": "no task"}),
        _parts(body="!"),
        _parts(body=b64encode(b"\xff").decode()),
        _parts(body=b64encode(b"[[[]], {}, {}]").decode()),
        _parts(body=b64encode(b'[[{"no": "list"}], {}, {}]').decode()),
        _parts(**{"content-type": "application/x-python-serialize"}),
    ],
    ids=range(10),
)
def test_what_is_no_message_of_events_stays_and_says_so(client, settings, replays, raw: bytes) -> None:
    bury(client, settings, [a_letter(raw=raw)])
    (prediction,) = replays.predict(ALL)
    assert prediction.expected is Expected.UNSENDABLE
    assert "no message of events" in prediction.note
    assert replay(replays).unsendable == 1
    assert DeadLetters(client, settings).count() == 1


def test_a_message_of_a_queue_that_is_no_more_goes_where_its_task_goes_today(worker, client, settings, replays) -> None:
    raw = queue_item(a_message(), announced=False)
    bury(client, settings, [replace(a_letter(raw=raw), queue="bridge.gone")])
    (prediction,) = replays.predict(ALL)
    assert prediction.expected is Expected.RETURNED
    status = replay(replays)
    assert (status.state, status.unsendable) == (RedriveState.DONE, 0)
    assert client.llen("bridge.gone") == 0


@pytest.fixture
def elsewhere(client: redis.Redis, redis_url: str) -> Redrives:
    """Redrives to a broker that is not the store, and that no worker consumes."""
    apart = Settings(broker_url=redis_url.removesuffix("0") + "1", redis_url=redis_url)
    return Redrives(store_of(client, apart), apart, registry)


def run(replays: Redrives) -> RedriveStatus:
    return replays.run(replays.begin(ALL), patience_s=0.2)


def test_with_the_broker_elsewhere_its_events_are_sent_as_letters_of_their_own(
    client, settings, quarantined, elsewhere
) -> None:
    messages = [a_message(5), a_message(1)]
    for message in messages:
        quarantined(message)
    assert {prediction.expected for prediction in elsewhere.predict(ALL)} == {Expected.RETURNED}
    status = run(elsewhere)
    assert (status.total, status.pending, status.under_way, status.unsendable) == (6, 0, 6, 0)
    letters = list(every_letter(DeadLetters(client, settings)))
    assert sorted(letter.letter_id for letter in letters) == sorted(ids_in(messages[0]) + ids_in(messages[1]))
    assert {(letter.raw, letter.task, letter.addresses) for letter in letters} == {(b"", TASK, (f"user:{USER}",))}
    balance = read_balance(client)
    assert (balance.balanced, balance.dead, balance.accepted) == (True, 6, 6)


def test_elsewhere_events_that_wait_or_have_letters_already_are_counted_once(
    client, settings, quarantined, elsewhere
) -> None:
    retried = a_message(1, attempt=2)
    (event_id,) = ids_in(retried)
    quarantined.entries.enter([("first", TASK, QUEUE, retried.event_ids)])
    record = RetryRecord(
        event_id=event_id, task=TASK, queue=QUEUE, envelope=retried.envelopes[0].decode(), attempts=a_letter().attempts
    )
    RetrySet(client, settings).add([(record, 600.0)], message_id="first", event_type="mood.shown")
    quarantined(as_moved(retried))
    replayed = a_message(2, redrive="earlier")
    bury(client, settings, [a_letter(user_id=USER, letter_id=letter_id) for letter_id in ids_in(replayed)])
    quarantined(replayed, announced=False)
    assert run(elsewhere).under_way == 3
    balance = read_balance(client)
    assert (balance.balanced, balance.dead, balance.retrying) == (True, 3, 0)


def test_elsewhere_what_would_be_quarantined_again_stays_and_says_so(client, quarantined, elsewhere) -> None:
    quarantined(a_message(4, task="bridge.OfTomorrow"))
    (prediction,) = elsewhere.predict(ALL)
    assert prediction.expected is Expected.UNSENDABLE
    assert prediction.note.startswith("Its message cannot be run: No task is called 'bridge.OfTomorrow'")
    assert (run(elsewhere).unsendable, Counts(client).read()["dead"]) == (1, 1)


def test_elsewhere_no_letter_is_pushed_out_for_the_events_of_another(client, redis_url, quarantined) -> None:
    quarantined(a_message(20))
    apart = Settings(broker_url=redis_url.removesuffix("0") + "1", redis_url=redis_url, dead_max=10)
    replays = Redrives(store_of(client, apart), apart, registry)
    status = run(replays)
    assert (status.unsendable, status.under_way) == (1, 0)
    assert (read_balance(client).dead, read_balance(client).evicted) == (20, 0)
