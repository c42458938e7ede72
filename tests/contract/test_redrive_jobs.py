"""Redrives: a letter is sent once, by whoever has the lease, and its outcome is counted once."""

from collections.abc import Sequence
from uuid import uuid4

import msgspec
import pytest
from msgspec.structs import replace

from bridge.messages import TaskMessage
from bridge.messages.whole_message import WholeMessage, read_whole
from bridge.model.errors import OperationRefusedError
from bridge.model.redrive import Outcomes, RedriveState, RedriveStatus
from bridge.ports import Queue, RedriveJob
from bridge.redis_adapter.task_queue import queue_item
from tests.contract.conftest import Open
from tests.support.adapters import Adapter
from tests.support.moody_catalog import registry
from tests.support.telling import QUEUE, TASK, letter

STATUS = RedriveStatus(redrive_id="r", state=RedriveState.BUILDING, selection={}, who="ann", created_ms=1, canary=5)
OWNER = "me"


def begun(adapter: Adapter, redrive_id: str = "r") -> RedriveJob:
    job = adapter.store.redrives.job(redrive_id)
    job.begin(replace(STATUS, redrive_id=redrive_id))
    assert job.renew_lease(OWNER, 60) == 0
    return job


def buried(adapter: Adapter, number: int) -> list[str]:
    names = sorted(str(uuid4()) for _ in range(number))
    adapter.dead_letters.bury([letter(name) for name in names])
    return names


def send(adapter: Adapter, job: RedriveJob, names: Sequence[str], *, owner: str = OWNER) -> frozenset[str]:
    message = TaskMessage(task=TASK, queue=QUEUE, envelopes=[b"{}" for _ in names], redrive="r")
    return job.send(owner, names, message, queue_of(adapter))


def queue_of(adapter: Adapter) -> Queue:
    return adapter.store.open_queue(registry)


def on_queue(adapter: Adapter) -> int:
    (state,), _ = adapter.store.queues.read([QUEUE], adapter.store.clock.now_ms())
    return state.depth


def status(job: RedriveJob) -> RedriveStatus:
    record = job.read()
    assert record is not None
    return record.status


async def test_a_redrive_is_read_as_it_was_begun_and_goes_from_state_to_state(opened: Open) -> None:
    adapter = await opened()
    assert adapter.store.redrives.job("none").read() is None
    job = begun(adapter)
    assert status(job) == replace(STATUS, owner=OWNER)
    job.ask_to_stop()
    record = job.read()
    assert record is not None and record.stop_asked and record.is_leased
    job.move_to(RedriveState.RUNNING, total=7)
    job.count_canary(3)
    job.count_canary(-1)
    record = job.read()
    assert record is not None and not record.stop_asked
    assert (record.status.state, record.status.total, record.status.canary_sent) == (RedriveState.RUNNING, 7, 2)
    job.move_to(RedriveState.STALLED, "nobody works")
    assert (status(job).reason, status(job).total) == ("nobody works", 7)


async def test_one_process_has_the_lease_until_it_ends_or_is_given_back(opened: Open) -> None:
    adapter = await opened()
    job = begun(adapter)
    assert 0 < job.renew_lease("other", 60) <= 60_000
    assert job.renew_lease(OWNER, 60) == 0
    adapter.pass_time(70)
    record = job.read()
    assert record is not None and not record.is_leased
    assert job.renew_lease("other", 60) == 0
    with pytest.raises(OperationRefusedError, match="took over"):
        send(adapter, job, buried(adapter, 1))
    assert job.renew_lease("other", 0) == 0 and job.renew_lease(OWNER, 60) == 0


async def test_the_newest_redrives_are_listed_first(opened: Open) -> None:
    adapter = await opened()
    for number, name in enumerate(("a", "b", "c")):
        adapter.store.redrives.job(name).begin(replace(STATUS, redrive_id=name, created_ms=number))
    assert list(adapter.store.redrives.newest(2)) == ["c", "b"]


async def test_letters_are_sent_once_in_order_and_their_outcomes_counted(opened: Open) -> None:
    adapter = await opened()
    job, names = begun(adapter), buried(adapter, 3)
    job.add(names)
    job.add(names[:1])
    assert job.pending(2) == names[:2] and job.pending(5, start=2) == names[2:]
    assert send(adapter, job, names) == frozenset()
    assert on_queue(adapter) == 1 and (status(job).pending, status(job).sent, status(job).under_way) == (0, 3, 3)
    assert job.collect(0, 10) == Outcomes(0, 0, 3)
    adapter.dead_letters.bury([replace(letter(names[0]), replay="r")])
    found = adapter.store.kept.look_up(names[1]).letter
    assert found is not None and found.replay == ""
    assert job.collect(0, 10) == Outcomes(0, 1, 2)
    assert job.collect(0, 10) == Outcomes(0, 0, 2)
    assert (status(job).failed, status(job).under_way) == (1, 2)
    assert send(adapter, job, names[1:2]) == frozenset(names[1:2]), "it is not pending any more"


async def test_letters_that_are_gone_or_sent_by_another_are_left_out_and_none_is_sent(opened: Open) -> None:
    adapter = await opened()
    job, other, (name, taken) = begun(adapter), begun(adapter, "other"), buried(adapter, 2)
    other.add([taken])
    assert send(adapter, other, [taken]) == frozenset()
    gone = str(uuid4())
    job.add([name, taken, gone])
    assert send(adapter, job, [name, taken, gone]) == {taken, gone}
    assert on_queue(adapter) == 1 and job.pending(5) == [name]
    assert (status(job).gone, status(job).busy, status(job).sent) == (1, 1, 0)
    job.leave_out("unsendable", [name])
    job.leave_out("unsendable", [name])
    assert (status(job).unsendable, status(job).pending) == (1, 0)


async def test_what_was_sent_without_an_outcome_is_taken_back(opened: Open) -> None:
    adapter = await opened()
    job, names = begun(adapter), buried(adapter, 3)
    job.add(names)
    send(adapter, job, names)
    assert (job.take_back(2), job.take_back(2), job.take_back(2)) == (2, 1, 0)
    assert job.pending(5) == names and (status(job).sent, status(job).under_way) == (0, 0)


async def test_the_newest_letter_about_a_thing_is_remembered(opened: Open) -> None:
    job = begun(await opened())
    assert job.newest() == {}
    job.note_newest({})
    job.note_newest({"a": "1", "b": "2"})
    job.note_newest({"a": "3"})
    assert job.newest() == {"a": "3", "b": "2"}


def whole(adapter: Adapter, number: int) -> tuple[str, WholeMessage]:
    """A letter that holds a message of so many events, all of which were on their way."""
    ids = [uuid4() for _ in range(number)]
    envelopes = [msgspec.json.encode({"id": str(one)}) for one in ids]
    message = TaskMessage(task=TASK, queue=QUEUE, envelopes=envelopes, message_id="whole")
    adapter.accounting.book("whole", TASK, QUEUE, ids)
    kept = replace(letter("whole"), envelope="", raw=queue_item(message, announced=False))
    adapter.dead_letters.bury([kept], message_id="whole", whole=True)
    found = adapter.dead_letters.get_many(["whole"])["whole"]
    read = read_whole(found)
    assert read is not None and adapter.balance().dead == number
    return "whole", read


async def test_a_whole_message_goes_back_with_its_events_on_their_way_until_it_is_run(opened: Open) -> None:
    adapter = await opened()
    job, (name, message) = begun(adapter), whole(adapter, 3)
    found = adapter.dead_letters.get_many([name])[name]
    job.add([name])
    assert job.return_message(OWNER, found, message) and not job.return_message(OWNER, found, message)
    balance = adapter.balance()
    assert (balance.open, balance.dead, balance.balanced, on_queue(adapter)) == (3, 0, True, 1)
    assert job.collect(0, 10) == Outcomes(0, 0, 1)
    (on_its_way,) = adapter.accounting.get([message.book_id])
    adapter.accounting.write_off([on_its_way], who="ann", reason="a test ends them")
    assert job.collect(0, 10) == Outcomes(1, 0, 0) and adapter.balance().balanced


async def test_a_whole_message_that_is_quarantined_again_has_failed(opened: Open) -> None:
    adapter = await opened()
    job, (name, message) = begun(adapter), whole(adapter, 2)
    found = adapter.dead_letters.get_many([name])[name]
    job.add([name])
    assert job.return_message(OWNER, found, message)
    adapter.dead_letters.bury([found], message_id="whole", whole=True)
    assert job.collect(0, 10) == Outcomes(0, 1, 0)
    assert adapter.balance().dead == 2 and adapter.balance().balanced


async def test_a_whole_message_is_taken_apart_and_its_events_are_pending(opened: Open) -> None:
    adapter = await opened()
    job, (name, message) = begun(adapter), whole(adapter, 3)
    parts = message.letters(adapter.dead_letters.get_many([name])[name])
    job.add([name])
    job.move_to(RedriveState.RUNNING, total=1)
    job.unfold(OWNER, name, parts)
    assert job.pending(10) == sorted(part.letter_id for part in parts) and status(job).total == 3
    assert (adapter.balance().dead, adapter.dead_letters.count(), adapter.balance().balanced) == (3, 3, True)
    job.unfold(OWNER, name, parts)
    assert adapter.dead_letters.count() == 3


async def test_a_whole_message_for_whose_events_there_is_no_room_stays(opened: Open) -> None:
    adapter = await opened(dead_max=2)
    job, (name, message) = begun(adapter), whole(adapter, 3)
    parts = message.letters(adapter.dead_letters.get_many([name])[name])
    job.add([name])
    job.unfold(OWNER, name, parts)
    assert (adapter.dead_letters.count(), status(job).unsendable, status(job).pending) == (1, 1, 0)
