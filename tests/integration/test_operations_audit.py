"""The audit and the trace against a real Redis and a real worker: whatever happened, each event is found or missed."""

import json
from pathlib import Path
from uuid import uuid4

from kombu import Connection

from bridge import Emitter, Settings, User
from bridge.amqp_adapter.broker_queues import read_depths
from bridge.local.redis_server import free_port
from bridge.messages import TaskMessage
from bridge.model.dead_letter import DeadLetter
from bridge.operations import search as t
from bridge.operations.letters import Letters
from bridge.operations.search import Verdict, Whereabouts
from bridge.operations.selection import Selection
from bridge.ports import Publication
from bridge.redis_adapter import KeptEvents, Ledger, OperationsLog, read_balance
from bridge.wiring import open_queue, store_of
from tests.support import keys
from tests.support.auditing import audit, emit, places
from tests.support.items import envelopes_of
from tests.support.moody_catalog import Announced, Moody, registry
from tests.support.waiting import wait_until
from tests.support.worker import WorkerProcess, moody_environment, running_worker

TASK, QUEUE = "bridge.Moody", "bridge.moods"


def test_after_every_kind_of_ending_the_books_balance_and_each_event_is_found(
    settings, client, emitter, tmp_path: Path
) -> None:
    user_id = uuid4()
    fine, failing, hopeless = (
        Moody(user_id=user_id),
        Moody(user_id=user_id, mode="fail", times=1),
        Moody(user_id=user_id, mode="permanent"),
    )
    nobody, news = Moody(user_id=None), Announced(user_id=None, text="hello")
    emit(emitter, fine, failing, hopeless, nobody, news)
    emit(emitter, fine)
    raw = {"headers": {"id": "odd", "task": TASK}, "properties": {}, "content-type": "application/json", "body": "{"}
    client.lpush(QUEUE, "no message at all", json.dumps(raw))
    more = moody_environment(settings, tmp_path, BRIDGE_VISIBILITY_TIMEOUT_S="2", BRIDGE_TASK_TIME_LIMIT_S="1")
    killed = WorkerProcess(tmp_path / "killed.log", more)
    killed.wait_until_ready()
    killed.kill()
    with running_worker(tmp_path, more):
        wait_until(
            lambda: (found := read_balance(client)).open == found.retrying == 0 and found.dead == 3,
            what="all ended",
        )
    found = audit(client, settings)
    assert found.clean
    balance = found.balance
    assert (balance.published, balance.duplicate, balance.skipped, balance.dead) == (3, 1, 1, 3)

    (published,) = places(client, settings, failing.event_id, user_id)
    assert isinstance(published, Publication)
    assert published.in_stream
    assert published.user_id == str(user_id)
    assert published.seen_key == keys.seen(User(user_id), failing.event_id)
    assert places(client, settings, failing.event_id) == [published]
    client.delete(keys.stream(User(user_id)))
    (published,) = places(client, settings, failing.event_id)
    assert isinstance(published, Publication)
    assert not published.in_stream

    (published,) = places(client, settings, news.event_id)
    assert isinstance(published, Publication)
    assert published.user_id is None
    (skipped,) = places(client, settings, nobody.event_id)
    assert isinstance(skipped, t.SkippedEvent)
    (buried,) = places(client, settings, hopeless.event_id)
    assert isinstance(buried, DeadLetter)
    assert buried.failure.stage == "extract"
    assert places(client, settings, uuid4()) == []


def test_what_was_redelivered_after_a_kill_is_neither_missing_nor_twice(settings, client, emitter, tmp_path) -> None:
    more = moody_environment(settings, tmp_path, BRIDGE_VISIBILITY_TIMEOUT_S="3", BRIDGE_TASK_TIME_LIMIT_S="2")
    hanging = Moody(user_id=uuid4(), mode="hang", times=1)
    worker = WorkerProcess(tmp_path / "killed.log", more)
    try:
        worker.wait_until_ready()
        emit(emitter, hanging)
        wait_until(lambda: client.hlen("unacked") == 1 and not client.llen(QUEUE), what="a worker has it")
        found = audit(client, settings)
        assert found.clean
        assert found.balance.open == 1
        (place,) = places(client, settings, hanging.event_id)
        assert isinstance(place, t.OnItsWay)
        assert place.whereabouts is Whereabouts.CLAIMED
    finally:
        worker.kill()
    with running_worker(tmp_path, more):
        wait_until(lambda: read_balance(client).published == 1, what="it is published")
    assert audit(client, settings).clean


def test_a_message_that_was_deleted_is_missing_until_it_is_written_off(settings, client, emitter) -> None:
    lost = [Moody(user_id=uuid4(), number=number) for number in range(3)]
    emit(emitter, *lost)
    client.delete(QUEUE)
    kept = Moody(user_id=uuid4())
    emit(emitter, kept)
    assert audit(client, settings, grace_s=60).clean
    found = audit(client, settings)
    assert not found.clean
    assert found.balance.balanced
    assert (found.missing, found.unclear, found.unchecked) == (3, 0, 0)
    assert [event.event_id for event in found.listed] == [event.event_id for event in lost]
    assert {(event.task, event.queue, event.verdict) for event in found.listed} == {(TASK, QUEUE, Verdict.MISSING)}
    short = audit(client, settings, limit=1)
    assert (short.missing, len(short.listed)) == (3, 1)
    (place,) = places(client, settings, lost[0].event_id)
    assert isinstance(place, t.OnItsWay)
    assert place.whereabouts is Whereabouts.MISSING
    (place,) = places(client, settings, kept.event_id)
    assert isinstance(place, t.OnItsWay)
    assert place.whereabouts is Whereabouts.QUEUED

    written = audit(client, settings, write_off="the disk broke", limit=0)
    assert written.clean
    assert (written.written_off, written.balance.written_off, written.balance.open) == (3, 3, 1)
    (log,) = OperationsLog(client).newest()
    assert (log.action, log.reason, log.numbers) == ("audit.write_off", "the disk broke", {"events": 3})
    assert "@" in log.who
    again = audit(client, settings, write_off="once more")
    assert (again.written_off, again.missing, client.xlen(keys.OPERATIONS_LOG)) == (0, 0, 1)


def test_a_part_of_a_message_that_was_taken_apart_can_be_missing_alone(settings, client, emitter) -> None:
    one, two = Moody(user_id=uuid4()), Moody(user_id=uuid4())
    emit(emitter, one, two)
    ((message_id, _),) = client.hgetall(keys.OPEN).items()
    client.delete(QUEUE)
    envelope = json.dumps({"id": str(one.event_id)}).encode()
    sender = open_queue(settings, registry)
    sender.send([TaskMessage(task=TASK, queue=QUEUE, envelopes=[envelope], booked_as=message_id.decode())])
    sender.close()
    found = audit(client, settings)
    assert [event.event_id for event in found.listed] == [two.event_id]
    assert audit(client, settings, write_off="lost").written_off == 1
    assert audit(client, settings).clean
    assert [place.whereabouts for place in places(client, settings, one.event_id)] == ["queued"]  # type: ignore[union-attr]


def test_a_missing_event_that_was_published_under_another_message_is_told_apart(
    settings, client, emitter, tmp_path
) -> None:
    event = Moody(user_id=uuid4())
    emit(emitter, event)
    client.delete(QUEUE)
    emit(emitter, event)
    with running_worker(tmp_path, moody_environment(settings, tmp_path)):
        wait_until(lambda: read_balance(client).published == 1, what="it is published")
    found = audit(client, settings)
    assert [listed.elsewhere for listed in found.listed] == ["published"]
    assert [type(place) for place in places(client, settings, event.event_id)] == [Publication, t.OnItsWay]


def test_a_long_queue_is_read_to_its_end_behind_a_key_prefix(redis_url, client) -> None:
    settings = Settings(broker_url=redis_url, broker_keyprefix="theirs:", emit_batch_max=1)
    emitter = Emitter(settings, registry)
    emit(emitter, *(Moody(user_id=uuid4(), number=number) for number in range(3000)))
    emitter.close()
    assert client.llen("theirs:" + QUEUE) == 3000
    assert audit(client, settings).clean
    client.lrem("theirs:" + QUEUE, 1, client.lindex("theirs:" + QUEUE, 1234))
    client.lpush("theirs:" + QUEUE, "\xff no message")
    assert audit(client, settings).missing == 1


def test_an_event_that_waits_is_traced_with_its_attempts_and_a_discarded_one_with_its_reason(
    settings, client, emitter, tmp_path
) -> None:
    event = Moody(user_id=uuid4(), mode="kill", times=99)
    emit(emitter, event)
    with running_worker(tmp_path, moody_environment(settings, tmp_path)):
        wait_until(lambda: read_balance(client).retrying == 1, what="it waits")
        (place,) = places(client, settings, event.event_id)
        assert isinstance(place, t.Waiting)
        assert place.record is not None
        assert place.record.attempts[0].failure.stage == "worker"
        assert place.due_ms is not None
        wait_until(lambda: read_balance(client).dead == 1, what="it is buried")
    reader = Letters(store_of(client, settings))
    reader.discard(Selection(), reason="a test", who="ann@desk")
    (gone,) = places(client, settings, event.event_id)
    assert gone == KeptEvents(client).look_up(str(event.event_id)).tombstone
    assert (gone.who, gone.reason) == ("ann@desk", "a test")
    assert gone.at.startswith("2")


def test_an_event_in_a_quarantined_message_is_found_in_its_letter(settings, client, emitter, tmp_path) -> None:
    event = Moody(user_id=uuid4())
    emit(emitter, event)
    item = json.loads(client.rpop(QUEUE))
    item["headers"]["task"] = "bridge.Unheard"
    client.lpush(QUEUE, json.dumps(item))
    with running_worker(tmp_path, moody_environment(settings, tmp_path)):
        wait_until(lambda: read_balance(client).dead == 1, what="it is quarantined")
    assert audit(client, settings).clean
    (place,) = places(client, settings, event.event_id)
    assert isinstance(place, DeadLetter)
    assert place.raw


def test_a_strangers_message_that_was_booked_and_then_quarantined_is_not_missing(settings, client, tmp_path) -> None:
    event = Moody(user_id=uuid4())
    Ledger(client, settings).book("theirs", TASK, QUEUE, [event.event_id])
    sender = open_queue(settings, registry)
    sender.send([TaskMessage(task="bridge.Unheard", queue=QUEUE, envelopes=[b"{}"], message_id="theirs")])
    sender.close()
    with running_worker(tmp_path, moody_environment(settings, tmp_path)):
        wait_until(lambda: read_balance(client).dead == 1, what="it is quarantined")
    found = audit(client, settings)
    assert (found.missing, found.balance.accepted, found.clean) == (0, 1, True)


def test_a_part_that_is_quarantined_takes_only_its_own_events_with_it(settings, client, emitter, tmp_path) -> None:
    one, two = Moody(user_id=uuid4()), Moody(user_id=uuid4())
    emit(emitter, one, two)
    item = client.rpop(QUEUE)
    first, second = envelopes_of(item)
    booked_as = json.loads(item)["headers"]["id"]
    sender = open_queue(settings, registry)
    sender.send(
        [
            TaskMessage(task=task, queue=QUEUE, envelopes=[json.dumps(raw).encode()], booked_as=booked_as)
            for task, raw in (("bridge.Unheard", first), (TASK, second))
        ]
    )
    sender.close()
    with running_worker(tmp_path, moody_environment(settings, tmp_path)):
        wait_until(
            lambda: client.hlen(keys.DEAD_LETTERS) == 1 and read_balance(client).published == 1, what="both ended"
        )
    found = audit(client, settings)
    assert (found.balance.dead, found.balance.unbooked, found.clean) == (1, 0, True)


def test_records_that_were_deleted_by_hand_are_noticed(settings, client, emitter) -> None:
    emit(emitter, Moody(user_id=uuid4()), Moody(user_id=uuid4()))
    client.delete(keys.OPEN)
    found = audit(client, settings)
    assert (found.unrecorded, found.clean) == (2, False)


def test_without_its_broker_an_audit_still_balances_and_says_what_it_could_not_see(redis_url, client) -> None:
    near = Settings(broker_url=redis_url)
    emitter = Emitter(near, registry)
    emit(emitter, Moody(user_id=uuid4()))
    emitter.close()
    away = Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0", redis_url=redis_url)
    found = audit(client, away)
    assert (found.balance.balanced, found.unchecked, found.clean) == (True, 1, False)
    assert "broker did not answer" in found.trouble


# RabbitMQ


def test_on_rabbitmq_an_audit_says_what_it_can_know(amqp_url, redis_url, client, tmp_path) -> None:
    settings = Settings(broker_url=amqp_url, redis_url=redis_url)
    assert audit(client, settings).clean
    emitter = Emitter(settings, registry)
    event = Moody(user_id=uuid4())
    emit(emitter, event)
    wait_until(lambda: read_depths(settings, [QUEUE, "none"])[QUEUE] == 1, what="it is on its queue")
    found = audit(client, settings)
    assert (found.unchecked, found.unclear, found.missing, found.clean) == (1, 0, 0, True)
    with Connection(amqp_url) as connection:
        connection.default_channel.queue_purge(QUEUE)
    (place,) = places(client, settings, event.event_id)
    assert isinstance(place, t.OnItsWay)
    assert place.whereabouts is Whereabouts.UNKNOWN
    found = audit(client, settings, write_off="not sure")
    assert (found.unclear, found.missing, found.written_off, found.clean) == (1, 0, 0, False)
    assert [listed.verdict for listed in found.listed] == [Verdict.UNCLEAR]
    found = audit(client, settings, write_off="purged by hand", verdicts=frozenset(Verdict))
    assert (found.written_off, found.clean) == (1, True)
    with running_worker(tmp_path, moody_environment(settings, tmp_path)):
        emit(emitter, Moody(user_id=uuid4()))
        wait_until(lambda: read_balance(client).published == 1, what="it is published")
    assert audit(client, settings).clean
    emitter.close()
