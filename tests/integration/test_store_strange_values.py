"""Values of ours that strangers wrote: nothing stops over one, its key is named, and the accounting is mended."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis
from prometheus_client import generate_latest
from prometheus_client.core import CollectorRegistry

from bridge import Emitter
from bridge.catalogs.finance import REGISTRY
from bridge.model.errors import OperationRefusedError
from bridge.model.events import SSEEvent, SSEEventType, encode_payload
from bridge.model.position import START
from bridge.model.publishing import AddressedEvent, Delivery
from bridge.model.registry import EVERYONE, User
from bridge.model.retry import Attempt, RetryRecord
from bridge.operations import StatusReader
from bridge.operations.audit import Auditor
from bridge.operations.redrive import Redrives
from bridge.ops.monitoring import BridgeCollector
from bridge.ports import Destination, Store
from bridge.redis_adapter import History, Ledger, connect_async
from bridge.redis_adapter.reports import Workers
from bridge.redis_adapter.task_queue import Entries
from bridge.runtime.reports import WorkerReport
from bridge.settings import Settings
from bridge.wiring import open_store, worker_ports
from tests.support import keys
from tests.support.letters import a_letter
from tests.support.moody_catalog import Moody, registry
from tests.support.processes import run_cli
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

TASK, QUEUE = "bridge.FileImportStarted", "bridge.import"
REPORT = WorkerReport(
    host="h", pid=1, node="n", pool="solo", processes=1, queues=(), started="", consumed=0, in_hand=0, running=0,
    consumed_age_s=0, loop_age_s=0, oldest_task_s=0,
)  # fmt: skip
VALUES = [
    b"abc",
    b"",
    b"1.5",
    b"1e400",
    b"inf",
    b"0x10",
    b" 7",
    b"9223372036854775807",
    b"9" * 5000,
    b"\xff\xfe",
    b"1 2",
]
COUNTS = ["accepted", "open", "published", "skipped", "set_back", "set_back_times", "set_back_seen", "unbooked"]
EVENT = str(UUID(int=7))


def _record() -> RetryRecord:
    attempt = Attempt(number=1, at="2026-01-01T00:00:00+00:00", failure=a_letter().failure)
    return RetryRecord(event_id=str(uuid4()), task=TASK, queue=QUEUE, envelope="{}", attempts=(attempt,))


def _work(client: redis.Redis, settings: Settings) -> None:
    """One message of four events: published, skipped, waiting and dead; and one that was not announced."""
    ports, message = worker_ports(settings, REGISTRY), str(uuid4())
    events = [SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=uuid4(), data={}) for _ in range(2)]
    record, letter = _record(), a_letter()
    ids = [*(event.event_id for event in events), UUID(record.event_id), UUID(letter.letter_id)]
    Entries(client).enter([(message, TASK, QUEUE, b"".join(one.bytes for one in ids))])
    delivery = Delivery(
        event_type="import.started",
        events=[AddressedEvent(event=events[0], payload=encode_payload({}), user_id=None)],
        message_id=message,
        skipped=[str(events[1].event_id)],
        metrics=[("extract_us:50", 1)],
    )
    assert not ports.publisher.prepare([delivery]).unpublished()
    ports.retries.add([(record, 60.0)], message_id=message, event_type="import.started")
    ports.dead_letters.bury([letter], message_id=message, event_type="import.started")
    ports.accounting.book(str(uuid4()), TASK, QUEUE, [uuid4()])
    ports.metrics.add([("extract_us:50", 1)])


@pytest.mark.parametrize("value", [b"abc", b"1e400", b"9223372036854775807", b"\xff\xfe"])
def test_work_goes_on_over_counts_that_are_none_and_a_worker_counts_them_anew(
    value: bytes, settings: Settings, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, workers = Ledger(redis_client, settings), Workers(redis_client)
    _work(redis_client, settings)
    expected = ledger.balance()
    for times, name in enumerate(COUNTS, start=1):
        redis_client.hset(keys.COUNTS, name, value)
        redis_client.hset(keys.METRICS, "published:import.started", value)
        _work(redis_client, settings)
        with open_store(settings) as store:
            remarks = StatusReader(store, settings, REGISTRY).read().remarks
        assert any(f"no number in its field '{name}'" in remark and keys.COUNTS in remark for remark in remarks), (
            remarks
        )
        workers.beat("me", REPORT)
        assert f"bridge.counts.mended {name}" in caplog.text
        balance = ledger.balance()
        assert balance.balanced and not balance.set_back, (name, balance)
        assert balance.published == expected.published * (times + 1) == redis_client.xlen(keys.BROADCAST_STREAM)
        assert (balance.accepted, balance.open) == (expected.accepted * (times + 1), expected.open * (times + 1))
        assert balance.dead == expected.dead * (times + 1)


@pytest.mark.parametrize("value", [b"99999999999999", b"abc", b"-5"])
def test_no_letter_is_evicted_for_a_number_that_a_stranger_wrote(
    value: bytes, settings: Settings, redis_client: redis.Redis
) -> None:
    ports = worker_ports(settings, REGISTRY)
    for _ in range(3):
        ports.dead_letters.bury([a_letter()])
    held = sum(map(len, redis_client.hvals(keys.DEAD_LETTERS)))
    assert int(redis_client.hget(keys.COUNTS, "dead_bytes") or 0) == held
    redis_client.hset(keys.COUNTS, "dead_bytes", value)
    letter = a_letter()
    ports.dead_letters.bury([letter])
    assert redis_client.hlen(keys.DEAD_LETTERS) == 4
    held = sum(map(len, redis_client.hvals(keys.DEAD_LETTERS)))
    assert int(redis_client.hget(keys.COUNTS, "dead_bytes") or 0) == held


@pytest.mark.parametrize("value", [b"abc", b"", b"7", b"99999999999999999999-0", b"\xff-\xff"])
@pytest.mark.parametrize("name", [keys.POSITION, keys.BEGAN, keys.BROADCAST_TIP])
async def test_a_position_that_is_none_begins_the_order_anew(
    name: str, value: bytes, settings: Settings, redis_client: redis.Redis
) -> None:
    _work(redis_client, settings)
    redis_client.set(name, value)
    client = connect_async(settings)
    history, user = History(client, settings), uuid4()
    page = await history.read([User(user)], START)
    assert [event.event_type for event in page.events] == ["import.started"]
    assert page.horizon >= page.events[-1].position
    _work(redis_client, settings)
    after = await history.read([User(user)], page.horizon)
    assert len(after.events) == 1 or not after.complete
    assert (await history.read([User(user)], after.horizon)).complete
    await client.aclose()


def _readers(store: Store, settings: Settings) -> dict[str, Callable[[], object]]:
    collector = BridgeCollector(settings, REGISTRY)
    metrics = CollectorRegistry()
    metrics.register(collector)
    redrives = Redrives(store, settings, REGISTRY)
    return {
        "status": StatusReader(store, settings, REGISTRY).read,
        "audit": Auditor(store, settings, REGISTRY).audit,
        "write off": lambda: Auditor(store, settings, REGISTRY).audit(write_off="test"),
        "metrics": lambda: generate_latest(metrics),
        "retries": lambda: (
            list(store.retries.in_order()),
            store.retries.by_queue(thorough=True),
            store.retries.claim(),
        ),
        "letters": lambda: (list(store.dead_letters.heads(between_ms=(0, 2**53))), store.dead_letters.span_ms()),
        "looks": lambda: store.dead_letters.look(between_ms=(0, 2**53)),
        "kept": lambda: store.kept.look_up(EVENT),
        "published": lambda: (
            list(store.published.find(UUID(EVENT))),
            store.published.look_up([(Destination(addresses=(EVERYONE,)), UUID(EVENT))]),
        ),
        "redrives": redrives.newest,
        "log": store.log.newest,
        "queues": store.queue_names.all,
        "open": lambda: (list(store.accounting.summaries()), store.accounting.holding(UUID(EVENT))),
    }


FIELDS = [b"x", b"\xff\xfe", b"a\n\x1b[31m", EVENT.encode()]
SCORES = [0, 1.5, 1e300, float("inf"), float("-inf")]


def _plant(client: redis.Redis, name: str, kind: str, value: bytes, score: float) -> None:
    if kind == "string":
        client.set(name, value)
    elif kind == "hash":
        client.hset(name, mapping=dict.fromkeys(FIELDS, value))
    elif kind == "zset":
        client.zadd(name, dict.fromkeys(FIELDS, score))
    elif kind == "set":
        client.sadd(name, *FIELDS, value)
    elif kind == "list":
        client.lpush(name, value)
    else:
        client.xadd(name, {b"numbers": value, b"who": value, b"\xff": value})
        client.xadd(name, {b"x": value}, id="18446744073709551615-18446744073709551615")


@pytest.mark.parametrize("value", [*VALUES, b"{}", b"[" * 3000, b"1:{}"], ids=lambda value: repr(value[:20]))
def test_whoever_looks_passes_over_what_strangers_wrote(
    value: bytes, settings: Settings, redis_client: redis.Redis
) -> None:
    with open_store(settings) as store:
        readers = _readers(store, settings)
        for name, kind in keys.UNPREFIXED.kinds.items():
            _plant(redis_client, name, kind, value, SCORES[VALUES.index(value) % 5 if value in VALUES else 0])
        redis_client.set(keys.UNPREFIXED.seen(EVERYONE, EVENT), value)
        redis_client.hset(keys.UNPREFIXED.redrive("x"), mapping={"state": value, "selection": value})
        for read in readers.values():
            read()
        named = {key.name for key in store.overview.read().wrong_keys if key.field is not None}
        assert {keys.COUNTS, keys.METRICS} <= named or value == b"7"
        assert {keys.WORKERS, keys.PRODUCERS} <= named or value == b"{}"
        assert keys.GATEWAYS in named or value == b"1 2"
        with pytest.raises(OperationRefusedError, match="bridge:replay:x"):
            Redrives(store, settings, REGISTRY).known("x")


def test_operators_get_sentences_and_events_flow(settings: Settings, redis_client: redis.Redis, tmp_path: Path) -> None:
    environment = {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry"}
    for name in (keys.COUNTS, keys.METRICS, keys.GATEWAYS, keys.WORKERS, keys.PRODUCERS, keys.OPEN):
        redis_client.hset(name, b"strange\xff", b"abc\xff")
    redis_client.hset(keys.COUNTS, mapping={"published": "abc", "accepted": "1e400"})
    for command in (["status"], ["audit"], ["queues"], ["dead", "list"], ["retries", "list"], ["check", "--connect"]):
        shown = run_cli(*command, environment=environment)
        assert "Traceback" not in shown.stdout + shown.stderr, shown
        assert shown.returncode in (0, 1), shown
    said = run_cli("status", environment=environment).stdout.replace("\n", "")
    for name in (keys.COUNTS, keys.METRICS, keys.GATEWAYS, keys.WORKERS, keys.PRODUCERS):
        assert f"The key {name} holds what is no " in said
    emitter = Emitter(settings, registry)
    with running_worker(tmp_path, environment | {"MOODY_DIR": str(tmp_path)}, "-c", "1") as worker:
        assert emitter.emit(Moody(user_id=uuid4()))
        assert emitter.flush(WAIT_S)
        wait_until(lambda: redis_client.hget(keys.COUNTS, "published") == "1", what="the event is counted")
        assert "Traceback" not in worker.text()
    emitter.close()
    assert redis_client.hget(keys.COUNTS, "accepted") == "1"
