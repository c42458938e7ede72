"""What operators watch and move: reports, figures, queues, retries, and what is kept of one event."""

from uuid import UUID, uuid4

import pytest

from bridge.messages import TaskMessage
from bridge.model.dead_letter import Tombstone
from bridge.model.errors import StoreError
from bridge.model.registry import EVERYONE, Retention, Topic, User
from bridge.ports import Destination
from bridge.runtime.reports import ProducerReport, WorkerReport
from tests.contract.conftest import Open
from tests.support.adapters import Adapter
from tests.support.telling import OTHER, QUEUE, TASK, USER, event, letter, name_of, publish, record

REPORT = WorkerReport(
    host="api",
    pid=7,
    node="celery@api",
    pool="solo",
    processes=1,
    queues=(QUEUE,),
    started="2026-01-01T00:00:00Z",
    consumed=0,
    in_hand=0,
    running=0,
    consumed_age_s=0.1,
    loop_age_s=0.1,
    oldest_task_s=0.0,
)


def message(*ids: UUID, message_id: str = "m", queue: str = QUEUE) -> TaskMessage:
    return TaskMessage(
        task=TASK,
        queue=queue,
        envelopes=[f'{{"id":"{one}"}}'.encode() for one in ids],
        message_id=message_id,
        event_ids=b"".join(one.bytes for one in ids),
    )


def send(adapter: Adapter, *messages: TaskMessage) -> None:
    from tests.support.moody_catalog import registry

    queue = adapter.store.open_queue(registry)
    queue.send(messages)
    queue.close()


def waiting(adapter: Adapter, *waits_s: float) -> list[str]:
    ids = [uuid4() for _ in waits_s]
    adapter.accounting.book("m", TASK, QUEUE, ids)
    adapter.retries.add(
        [(record(str(one)), after_s) for one, after_s in zip(ids, waits_s, strict=True)], message_id="m"
    )
    return [str(one) for one in ids]


async def test_a_worker_is_known_until_it_leaves_and_silent_by_the_stores_clock(opened: Open) -> None:
    workers = (adapter := await opened()).store.workers
    workers.beat("api:7:one", REPORT)
    adapter.pass_time(20)
    (known,) = workers.known()
    assert (known.name, known.process, known.report) == ("api:7", "api:7:one", REPORT)
    assert 20 <= known.silent_s < 40
    workers.leave("api:7:one")
    workers.leave("api:7:one")
    assert not workers.known()


async def test_two_workers_of_one_name_are_told_apart_and_the_long_silent_are_swept(opened: Open) -> None:
    workers = (adapter := await opened()).store.workers
    workers.beat("api:7:aaaa1111", REPORT)
    workers.beat("api:7:bbbb1111", REPORT)
    assert [known.name for known in workers.known()] == ["api:7~aaaa", "api:7~bbbb"]
    adapter.pass_time(90_000)
    workers.beat("api:7:cccc1111", REPORT, sweep=True)
    assert [known.process for known in workers.known()] == ["api:7:cccc1111"]


async def test_a_producer_has_one_report_the_last_and_none_when_it_is_withdrawn(opened: Open) -> None:
    producers = (adapter := await opened()).store.producers
    for waiting_events in (5, 3):
        producers.keep("p", ProducerReport(host="h", pid=1, started="", waiting=waiting_events))
    adapter.pass_time(10)
    producers.keep("q", ProducerReport(host="h", pid=2, started=""))
    assert [(said.producer, said.report.waiting) for said in producers.all()] == [("p", 3), ("q", 0)]
    assert 10 <= producers.all()[0].age_s < 30
    producers.keep("p", None)
    assert [said.producer for said in producers.all()] == ["q"]


async def test_queue_names_are_remembered_the_newest_first(opened: Open) -> None:
    names = (adapter := await opened()).store.queue_names
    names.note(["bridge.a"])
    adapter.pass_time(2)
    names.note(["bridge.b"])
    assert list(names.all()) == ["bridge.b", "bridge.a"]
    adapter.pass_time(2)
    names.note(["bridge.a"])
    assert list(names.all()) == ["bridge.a", "bridge.b"]


async def test_what_stands_on_a_queue_is_seen_and_moved_and_the_accounting_follows(opened: Open) -> None:
    adapter = await opened()
    store, one, two = adapter.store, uuid4(), uuid4()
    send(adapter, message(one), message(two, message_id="n"))
    (state, other), claimed = store.queues.read([QUEUE, "bridge.other"], store.clock.now_ms())
    assert (state.depth, state.task, other.depth, claimed) == (2, TASK, 0, 0)
    assert state.oldest_age_s is not None and other.oldest_age_s is None
    assert QUEUE in store.queues.find(thorough=True) and not store.queues.claimed()
    seen = list(store.queues.messages([QUEUE]) or ())
    assert {(found.book_id, found.claimed, found.event_ids()) for found in seen} == {
        ("m", False, frozenset({one})),
        ("n", False, frozenset({two})),
    }
    assert list(store.queues.move(QUEUE, "bridge.other"))[-1] == (2, 0)
    (state, other), _ = store.queues.read([QUEUE, "bridge.other"], store.clock.now_ms())
    assert (state.depth, other.depth) == (0, 2)
    assert {found.queue for found in store.accounting.get(["m", "n"])} == {"bridge.other"}


async def test_what_is_missing_is_written_off_once_and_the_log_says_so(opened: Open) -> None:
    adapter = await opened()
    ids = [uuid4(), uuid4()]
    adapter.accounting.book("m", TASK, QUEUE, ids)
    (summary,) = adapter.accounting.summaries()
    assert (summary.message_id, summary.queue, summary.events) == ("m", QUEUE, 2)
    (found,) = adapter.accounting.get(["m"])
    assert adapter.accounting.write_off([found], who="ann", reason="lost") == 2
    assert adapter.accounting.write_off([found], who="ann", reason="lost") == 0
    assert adapter.accounting.write_off([], who="ann", reason="nothing was set back") == 0
    (entry,) = adapter.log.newest()
    assert (entry.who, entry.action, entry.numbers) == ("ann", "audit.write_off", {"events": 2})
    balance = adapter.accounting.balance()
    assert (balance.written_off, balance.open) == (2, 0) and balance.balanced


async def test_retries_are_listed_in_order_counted_by_queue_made_due_and_taken(opened: Open) -> None:
    adapter = await opened()
    later, soon = waiting(adapter, 200, 100)
    found = list(adapter.retries.in_order())
    assert [one.record.event_id for one in found] == [soon, later] and not any(one.taken for one in found)
    assert [one.record.event_id for one in adapter.retries.in_order(found[0].place)] == [later]
    assert [(one.task, one.queue, one.retries) for one in adapter.retries.by_queue(thorough=True)] == [(TASK, QUEUE, 2)]
    assert list(adapter.retries.make_due([later, "unknown"])) == [later]
    assert [one.event_id for one in adapter.retries.claim().records] == [later]
    assert not adapter.retries.make_due([later]), "it is being tried"
    assert [one.event_id for one in adapter.retries.take([later, soon])] == [soon]
    assert not adapter.retries.claim().records and all(one.taken for one in adapter.retries.in_order())


async def test_everything_that_is_kept_of_an_event_is_found_by_its_id(opened: Open) -> None:
    adapter = await opened()
    (name,) = waiting(adapter, 100)
    kept = adapter.store.kept.look_up(name)
    assert kept.waits and kept.waiting is not None and kept.waiting.record.event_id == name
    assert 0 < (kept.due_ms or 0) - kept.now_ms <= 100_000
    adapter.dead_letters.bury([letter(name)])
    kept = adapter.store.kept.look_up(name)
    assert not kept.waits and kept.letter is not None and kept.tombstone is None
    stone = Tombstone(letter_id=name, at="", who="ann", reason="old", task=TASK, error_class="E")
    adapter.dead_letters.discard([stone])
    kept = adapter.store.kept.look_up(name)
    assert kept.letter is None and kept.tombstone is not None
    assert (kept.tombstone.who, kept.tombstone.reason) == ("ann", "old") and kept.tombstone.at
    unknown = adapter.store.kept.look_up(str(uuid4()))
    assert not unknown.waits and (unknown.letter, unknown.skipped_ms, unknown.tombstone) == (None, None, None)


async def test_what_clients_were_told_is_found_with_what_it_said(opened: Open) -> None:
    adapter = await opened()
    mine, everybodys, new = event(), event(None), event()
    publish(adapter.publisher, mine)
    publish(adapter.publisher, everybodys)
    ids = [one.event.event_id for one in (mine, everybodys, new)]
    to_user, to_all = Destination(addresses=(User(USER),)), Destination(addresses=(EVERYONE,))
    sightings = adapter.store.published.look_up([(to_user, ids[0]), (to_all, ids[1]), (to_user, ids[2])])
    assert [(one.published, one.payload, one.refusal) for one in sightings] == [
        (True, mine.payload, ""),
        (True, everybodys.payload, ""),
        (False, b"", ""),
    ]
    assert [past.event_id for past in adapter.store.published.newest(User(USER), 10)] == [name_of(mine)]
    (found,) = adapter.store.published.find(ids[0])
    assert (found.user_id, found.in_stream) == (str(USER), True)
    assert not list(adapter.store.published.find(ids[0], User(OTHER)))
    assert adapter.store.published.published({name_of(mine), name_of(new)}) == {name_of(mine)}


async def test_what_topics_were_told_is_found_by_address_and_class(opened: Open) -> None:
    adapter = await opened()
    room, alarms = Topic("room", int)(1), Retention("alarms")
    one = event(None, None, User(USER), room)
    publish(adapter.publisher, one, retention=alarms)
    published = adapter.store.published
    found = {place.address: place for place in published.find(one.event.event_id)}
    assert found.keys() == {f"user:{USER}", "room:1"} and all(place.in_stream for place in found.values())
    assert (found["room:1"].user_id, found[f"user:{USER}"].user_id) == (None, str(USER))
    assert not any(place.is_broadcast for place in found.values())
    by_address = [[place.address for place in published.find(one.event.event_id, told)] for told in (room, EVERYONE)]
    assert by_address == [["room:1"], []]
    told = Destination(addresses=(EVERYONE, room), retention=alarms)
    (sighting,) = published.look_up([(told, one.event.event_id)])
    assert (sighting.published, sighting.payload) == (True, one.payload)
    assert [past.event_id for past in published.newest(room, 10, retention=alarms)] == [name_of(one)]
    assert not list(published.newest(room, 10))


async def test_a_topic_is_found_however_long_its_address_is(opened: Open) -> None:
    adapter = await opened()
    room, user = Topic("r" * 40)("k" * 128), User("u" * 128)
    one = event(None, None, room, user)
    publish(adapter.publisher, one)
    found = list(adapter.store.published.find(one.event.event_id))
    assert {place.address for place in found} == {str(room), str(user)} and all(place.in_stream for place in found)


async def test_the_figures_are_of_now(opened: Open) -> None:
    adapter = await opened()
    waiting(adapter, 100)
    adapter.dead_letters.bury([letter(str(uuid4()))])
    figures = adapter.store.overview.read()
    assert figures.letters == 1 and figures.letters_bytes > 0 and figures.balance.retrying == 1
    assert 0 < (figures.retry_next_ms or 0) - figures.at_ms <= 100_000
    assert figures.dead_oldest_ms == figures.dead_newest_ms is not None
    assert adapter.store.overview.write_refusal() is None


async def test_the_figures_say_how_many_are_disconnected_and_since_when(opened: Open) -> None:
    adapter = await opened()
    figures = adapter.store.overview.read()
    assert (figures.withdrawn, figures.withdrawn_newest_ms) == (0, None)
    for target in ("user:1", "session:2", "user:1"):
        adapter.store.rights.withdraw(target)
    adapter.pass_time(30)
    figures = adapter.store.overview.read()
    assert figures.withdrawn == 2 and 25_000 < figures.at_ms - (figures.withdrawn_newest_ms or 0) < 90_000


async def test_of_a_store_that_is_away_everybody_says_so(opened: Open) -> None:
    store = (await opened(away=True)).store
    for ask in (
        store.workers.known,
        store.producers.all,
        store.queue_names.all,
        store.overview.read,
    ):
        with pytest.raises(StoreError):
            ask()
    assert store.overview.write_refusal() is not None
