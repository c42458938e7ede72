"""Operations on the twins: redrives, audits, traces and retries, with a worker that runs in the same thread."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec.structs import replace

from bridge.messages import TaskMessage
from bridge.model.dead_letter import DeadLetter
from bridge.model.errors import OperationRefusedError, StoreError
from bridge.model.redrive import RedriveState, RedriveStatus
from bridge.operations.audit import Auditor
from bridge.operations.holdings import move_queue, read_holdings
from bridge.operations.letters import Letters
from bridge.operations.redrive import Redrives
from bridge.operations.retries import Retries
from bridge.operations.search import OnItsWay, Tracer, Verdict, Whereabouts
from bridge.operations.selection import Selection
from bridge.operations.status import StatusReader
from bridge.ports import Store
from bridge.runtime.reports import WorkerReport
from bridge.settings import Settings
from bridge.testing import MemoryStore
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job
from tests.support.letters import QUEUE, TASK, a_letter
from tests.support.moody_catalog import registry

REPORT = WorkerReport(
    host="api", pid=7, node="celery@api", pool="solo", processes=1, queues=(QUEUE,), started="2026-01-01T00:00:00Z",
    consumed=1, in_hand=0, running=0, consumed_age_s=99.0, loop_age_s=0.1, oldest_task_s=0.0,
)  # fmt: skip
SETTINGS = Settings(broker_url="redis://127.0.0.1:1/0")
ALL = Selection()


@pytest.fixture(autouse=True)
def moods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOODY_DIR", str(tmp_path))


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore(SETTINGS)


@pytest.fixture
def store(memory: MemoryStore) -> Store:
    return memory.operators_store


@pytest.fixture
def redrives(store: Store) -> Redrives:
    return Redrives(store, SETTINGS, registry)


@pytest.fixture
def work(memory: MemoryStore) -> Callable[[object], None]:
    """Runs every message that stands on the queue, as a worker would."""
    handler = Handler(SETTINGS, registry, memory.worker_ports)

    def run(_: object = None) -> None:
        while (message := memory.queue.claim(QUEUE)) is not None:
            handler.run([job_of(message)])
            memory.queue.acknowledge(message)

    return run


def job_of(message: TaskMessage) -> Job:
    return Job(
        mapping=registry.mappings[0],
        envelopes=[msgspec.json.decode(envelope) for envelope in message.envelopes],
        attempt=message.attempt,
        message_id=message.message_id,
        booked_as=message.booked_as,
        redrive=message.redrive,
    )


def bury(memory: MemoryStore, *modes: str) -> list[DeadLetter]:
    """Letters whose events were accepted."""
    letters = [a_letter(mode=mode) for mode in modes]
    for letter in letters:
        memory.accounting.book(letter.letter_id, TASK, QUEUE, [UUID(letter.letter_id)])
        memory.dead_letters.bury([letter], message_id=letter.letter_id)
    return letters


def test_every_letter_is_sent_once_and_what_dies_again_is_not_met_again(memory, redrives, work) -> None:
    bury(memory, *["ok", "permanent", "nobody"] * 20)
    status = redrives.run(redrives.begin(ALL, who="ann"), on_progress=work)
    assert (status.state, status.sent, status.succeeded, status.failed) == (RedriveState.DONE, 60, 40, 20)
    assert memory.dead_letters.count() == 20 and memory.balance().balanced
    assert [entry.action for entry in memory.log.newest()] == ["dead.redrive.done", "dead.redrive.begin"]


def test_a_redrive_is_paused_resumed_and_done_once(memory, redrives, work) -> None:
    bury(memory, *["ok"] * 10)
    redrive_id = redrives.begin(ALL, rate=1_000_000)
    paused = redrives.run(redrive_id, should_stop=lambda: True)
    assert (paused.state, paused.pending) == (RedriveState.PAUSED, 10) and not redrives.is_being_run(redrive_id)
    assert redrives.run(redrive_id, on_progress=work).succeeded == 10
    with pytest.raises(OperationRefusedError, match="is done"):
        redrives.run(redrive_id)
    assert [status.redrive_id for status in redrives.newest()] == [redrive_id]


def test_a_canary_that_fails_stops_the_redrive_before_the_rest(memory, redrives, work) -> None:
    bury(memory, *["permanent"] * 40)
    status = redrives.run(redrives.begin(ALL, canary=5), on_progress=work)
    assert (status.state, status.canary_sent, status.pending) == (RedriveState.STOPPED, 5, 35)
    assert redrives.run(status.redrive_id, on_progress=work).canary_sent == 5, "a few are tried again"


def test_a_redrive_without_a_worker_stalls_and_its_letters_can_be_sent_again(memory, redrives, work) -> None:
    bury(memory, *["ok"] * 3)
    redrive_id = redrives.begin(ALL)
    assert redrives.run(redrive_id, patience_s=0.05).state is RedriveState.STALLED
    assert memory.queue.claim(QUEUE) is not None, "the broker loses it"
    status = redrives.run(redrive_id, on_progress=work, resend=True)
    assert (status.state, status.succeeded) == (RedriveState.DONE, 3)


def test_a_process_that_loses_its_lease_stops_and_leaves_the_redrive_to_the_other(memory, store, redrives) -> None:
    bury(memory, "ok")
    redrive_id = redrives.begin(ALL)

    def lose(_: RedriveStatus) -> None:
        memory.clock.advance(60)
        store.redrives.job(redrive_id).renew_lease("other", 60)

    with pytest.raises(OperationRefusedError, match="took over"):
        redrives.run(redrive_id, on_progress=lose)
    assert not memory.queue.standing(QUEUE) and redrives.is_being_run(redrive_id)


def test_a_store_that_goes_away_loses_no_letter(memory, redrives, work) -> None:
    bury(memory, *["ok"] * 5)
    redrive_id = redrives.begin(ALL)

    def break_off(_: RedriveStatus) -> None:
        memory.faults.go_away()

    with pytest.raises(StoreError):
        redrives.run(redrive_id, on_progress=break_off)
    memory.faults.mend()
    memory.clock.advance(60)
    assert redrives.run(redrive_id, on_progress=work).succeeded == 5 and memory.balance().balanced


def test_letters_in_a_redrive_are_not_discarded_by_a_person(memory, store, redrives) -> None:
    letters = bury(memory, "ok", "ok")
    redrives.run(redrives.begin(Selection(ids=(letters[0].letter_id,))), patience_s=0.05)
    done = Letters(store).discard(ALL, reason="enough", who="ann")
    assert (done.discarded, done.in_redrive) == (1, 1)


def accept(memory: MemoryStore, *, queued: bool, message_id: str = "m") -> UUID:
    event_id = uuid4()
    if queued:
        envelope = msgspec.json.encode({"id": str(event_id)})
        memory.queue.send(
            [TaskMessage(task=TASK, queue=QUEUE, envelopes=[envelope], message_id=message_id, event_ids=event_id.bytes)]
        )
    else:
        memory.accounting.book(message_id, TASK, QUEUE, [event_id])
    return event_id


def test_an_audit_finds_what_is_nowhere_and_writes_off_nothing_else(memory, store) -> None:
    accept(memory, queued=True)
    lost = accept(memory, queued=False, message_id="lost")
    memory.clock.advance(100)
    auditor = Auditor(store, SETTINGS, registry)
    found = auditor.audit()
    assert (found.missing, found.unrecorded, found.clean) == (1, 0, False)
    assert [(one.event_id, one.verdict) for one in found.listed] == [(lost, Verdict.MISSING)]
    assert auditor.audit(write_off="it is lost").written_off == 1
    after = auditor.audit()
    assert (after.missing, after.balance.written_off, after.balance.open) == (0, 1, 1)


def test_an_audit_of_a_broker_that_is_away_says_so(memory, store) -> None:
    accept(memory, queued=True)
    memory.clock.advance(100)
    memory.queue.faults.go_away()
    found = Auditor(store, SETTINGS, registry).audit()
    assert found.trouble and (found.missing, found.unchecked) == (0, 1)


@pytest.mark.parametrize(
    ("place", "whereabouts"),
    [("queued", Whereabouts.QUEUED), ("claimed", Whereabouts.CLAIMED), ("nowhere", Whereabouts.MISSING)],
)
def test_a_trace_tells_where_a_message_is(memory, store, place: str, whereabouts: Whereabouts) -> None:
    event_id = accept(memory, queued=place != "nowhere")
    if place == "claimed":
        memory.queue.claim(QUEUE)
    (found,) = Tracer(store).trace(event_id)
    assert isinstance(found, OnItsWay) and found.whereabouts is whereabouts


def test_retries_are_tried_now_or_given_up_and_nothing_is_lost(memory, store, work) -> None:
    handler = Handler(SETTINGS, registry, memory.worker_ports)
    envelopes: list[Any] = [msgspec.json.decode(a_letter(mode="fail", times=9).envelope) for _ in range(3)]
    handler.run(
        [Job(mapping=registry.mappings[0], envelopes=envelopes, attempt=1, message_id="m", booked_as="", redrive="")]
    )
    retries = Retries(store)
    first, *rest = retries.ids(ALL)
    assert [group.count for group in retries.groups(ALL)] == [3]
    assert retries.now(Selection(ids=(first,))).changed == 1
    assert [record.event_id for record in memory.retries.claim().records] == [first]
    done = retries.cancel(ALL, reason="enough", who="ann")
    assert (done.changed, done.taken) == (2, 1)
    assert sorted(memory.dead_letters.get_many(rest)) == sorted(rest) and memory.balance().balanced


def test_what_stands_on_a_queue_is_moved_and_shown_where_it_is(memory, store) -> None:
    accept(memory, queued=True)
    assert move_queue(store, QUEUE, "bridge.gone", who="ann").messages == 1
    held = {holding.name: holding for holding in read_holdings(store, SETTINGS, registry)}
    assert (held[QUEUE].waiting, held["bridge.gone"].waiting) == (0, 1) and held["bridge.gone"].is_stranded
    with pytest.raises(OperationRefusedError, match="same queue"):
        move_queue(store, QUEUE, QUEUE)


def test_a_status_is_read_though_the_broker_is_away(memory, store) -> None:
    bury(memory, "ok")
    memory.queue.faults.go_away()
    status = StatusReader(store, SETTINGS, registry).read()
    assert (status.letters, status.dead_oldest_s, status.retry_next_s) == (1, 0, None)
    assert {fault.subject for fault in status.faults} >= {"broker", "workers"}


def test_what_is_on_its_way_and_nowhere_is_told_of_when_nobody_has_any(memory, store) -> None:
    def told() -> bool:
        memory.workers.beat("one", replace(REPORT, in_hand=in_hand))
        faults = StatusReader(store, SETTINGS, registry).read().faults
        return any("none is on a queue or with a worker" in fault.sentence for fault in faults)

    in_hand, event_id = 0, uuid4()
    memory.queue.send(
        [TaskMessage(task=TASK, queue=QUEUE, envelopes=[b"{}"], message_id="m", event_ids=event_id.bytes)]
    )
    memory.clock.advance(1_000)
    assert not told(), "it is on its queue"
    dropped = memory.queue.claim(QUEUE)
    assert not told(), "it is claimed"
    memory.queue.acknowledge(dropped)
    in_hand = 1
    assert not told(), "a worker has some"
    in_hand = 0
    assert told()
    (missing,) = Auditor(store, SETTINGS, registry).audit().listed
    assert missing.event_id == event_id
