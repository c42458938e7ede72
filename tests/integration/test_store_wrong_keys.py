"""Keys of ours under which somebody else keeps something: told of by name, and nothing is lost or uncounted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import Emitter
from bridge.catalogs.finance import REGISTRY
from bridge.model.errors import StoreRefusedError
from bridge.model.events import SSEEvent, SSEEventType, encode_payload
from bridge.model.publishing import AddressedEvent, Delivery
from bridge.model.retry import Attempt, RetryRecord
from bridge.operations import StatusReader
from bridge.redis_adapter import Ledger
from bridge.redis_adapter.script import Call, script
from bridge.redis_adapter.task_queue import Entries
from bridge.settings import Settings
from bridge.wiring import open_store, worker_ports
from tests.support import keys
from tests.support.letters import a_letter
from tests.support.moody_catalog import Moody, registry
from tests.support.processes import run_cli
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

KINDS = keys.UNPREFIXED.kinds
QUEUE, OTHER_QUEUE = "bridge.moods", "bridge.news"
TASK = "bridge.Moody"


@contextmanager
def foreign(client: redis.Redis, name: str) -> Iterator[None]:
    """Meanwhile a stranger keeps something of another type there."""
    moved = bool(client.exists(name)) and client.rename(name, "kept")
    if KINDS.get(name, "list") == "list":
        client.set(name, "theirs")
    else:
        client.rpush(name, "theirs")
    yield
    client.delete(name)
    if moved:
        client.rename("kept", name)


@pytest.mark.parametrize("name", KINDS)
def test_status_names_the_key(name: str, settings: Settings, redis_client: redis.Redis) -> None:
    with foreign(redis_client, name), open_store(settings) as store:
        status = StatusReader(store, settings, REGISTRY).read()
        spared = name in keys.UNPREFIXED.spared
        told = status.remarks if spared else [fault.sentence for fault in status.faults]
        assert [one for one in told if one.startswith(f"The key {name} holds a ")], (status.faults, status.remarks)
        assert [key.name for key in status.wrong_keys] == [name]
    with open_store(settings) as store:
        assert not StatusReader(store, settings, REGISTRY).read().wrong_keys


@pytest.mark.parametrize("name", [keys.POSITION, keys.BEGAN, keys.BROADCAST_TIP])
@pytest.mark.parametrize("value", ["", "7", "later", "1-2-3", "99999999999999999999-0"])
def test_a_text_that_is_no_position_is_told_of(
    name: str, value: str, settings: Settings, redis_client: redis.Redis
) -> None:
    redis_client.set(name, value)
    with open_store(settings) as store:
        (wrong,) = store.overview.wrong_keys()
    assert "text that is no position" in wrong.sentence and name in wrong.sentence


def test_a_clock_that_was_set_back_is_told_of(settings: Settings, redis_client: redis.Redis) -> None:
    now_ms = redis_client.time()[0] * 1000
    with open_store(settings) as store:
        reader = StatusReader(store, settings, REGISTRY)
        redis_client.set(keys.POSITION, f"{now_ms}-3")
        assert not reader.read().remarks
        redis_client.set(keys.POSITION, f"{now_ms + 3 * 3_600_000}-3")
        (remark,) = reader.read().remarks
    assert "s behind the newest position" in remark and "sse-bridge retries now" in remark


@pytest.mark.parametrize("name", KINDS)
def test_what_fails_half_way_is_accounted_for_when_the_key_is_mended(
    name: str, settings: Settings, redis_client: redis.Redis
) -> None:
    ports = worker_ports(settings, REGISTRY)
    client = redis.Redis.from_url(settings.store_url)
    events = [SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=uuid4(), data={}) for _ in range(9)]
    ids = [event.event_id for event in events]
    ledger = Ledger(client, settings)
    for number in range(3):
        Entries(client).enter(
            [(f"m{number}", TASK, QUEUE, b"".join(one.bytes for one in ids[3 * number : 3 * number + 3]))]
        )

    def delivery(message: int, places: list[int], skipped: list[int], *, whole: bool) -> Delivery:
        return Delivery(
            event_type="import.started",
            events=[AddressedEvent(event=events[place], payload=encode_payload({}), user_id=None) for place in places],
            message_id=f"m{message}",
            whole=(TASK, QUEUE) if whole else None,
            skipped=[str(ids[place]) for place in skipped],
            metrics=[("extract_us:50", 1)],
        )

    def settle() -> None:
        deliveries = [
            delivery(0, [0, 1], [2], whole=True),
            delivery(1, [3], [], whole=False),
            delivery(2, [6, 7], [8], whole=True),
        ]
        ports.publisher.prepare(deliveries).unpublished()

    def bury() -> None:
        letter = a_letter(letter_id=str(ids[5]))
        ports.dead_letters.bury([letter], message_id="m1", event_type="import.started")

    steps: list[Callable[[], object]] = [
        settle,
        lambda: ports.retries.add([(_record(ids[4]), 60.0)], message_id="m1", event_type="import.started"),
        bury,
        lambda: ports.accounting.book("m3", TASK, QUEUE, [uuid4()]),
        lambda: ports.metrics.add([("extract_us:50", 1)]),
    ]
    with foreign(redis_client, name):
        for step in steps:
            with suppress(StoreRefusedError):
                step()
    for step in steps:
        step()
    balance = ledger.balance()
    assert balance.balanced, balance
    assert balance.published + balance.duplicate == 5 and balance.skipped == 2
    assert (balance.retrying, balance.dead, balance.open) == (1, 1, 1)
    assert redis_client.hkeys(keys.OPEN) == ["m3"]
    assert redis_client.xlen(keys.BROADCAST_STREAM) == 5
    client.close()


def _record(event_id: UUID) -> RetryRecord:
    failure = a_letter().failure
    return RetryRecord(
        event_id=str(event_id),
        task=TASK,
        queue=QUEUE,
        envelope="{}",
        attempts=(Attempt(number=1, at="2026-01-01T00:00:00+00:00", failure=failure),),
    )


def _claim(client: redis.Redis) -> list[object]:
    found = script("claim")
    names = {"unacked": "unacked", "unacked_index": "unacked_index", "deliveries": "bridge:deliveries"}
    call_keys = found.keys(None, QUEUE, OTHER_QUEUE, **names)
    return list(
        client.execute_command(*found.command(Call(call_keys, [100, "tag:", QUEUE, OTHER_QUEUE]), by_text=True))
    )


def _put(client: redis.Redis) -> None:
    for queue in (QUEUE, OTHER_QUEUE):
        client.rpush(queue, *(f'{{"number": {number}}}' for number in range(3)))


@pytest.mark.parametrize("name", ["unacked", "unacked_index", "bridge:deliveries"])
def test_a_claim_that_cannot_be_written_down_takes_nothing(name: str, redis_client: redis.Redis) -> None:
    _put(redis_client)
    with foreign(redis_client, name), suppress(redis.ResponseError):
        _claim(redis_client)
    claimed = redis_client.hlen("unacked")
    assert claimed + redis_client.llen(QUEUE) + redis_client.llen(OTHER_QUEUE) == 6
    assert redis_client.lrange(QUEUE, 0, -1) in ([], [f'{{"number": {number}}}' for number in range(3)])


def test_a_queue_that_is_no_list_leaves_the_others_served(redis_client: redis.Redis) -> None:
    _put(redis_client)
    with foreign(redis_client, QUEUE):
        assert len(_claim(redis_client)) == 4 * 3
        # What had been claimed of it waits there; the others' goes back, once, however their returns are counted.
        with foreign(redis_client, "bridge:deliveries"):
            for _ in range(2):
                _restore(redis_client)
        assert redis_client.llen(OTHER_QUEUE) == 3
    assert redis_client.llen(QUEUE) == 3


def _restore(client: redis.Redis) -> None:
    found = script("restore")
    names = {"unacked": "unacked", "unacked_index": "unacked_index", "deliveries": "bridge:deliveries"}
    found.run(client, [0, 100, 1, ""], **names)


@pytest.mark.parametrize("name", ["unacked", "unacked_index", "bridge:deliveries", keys.POSITION, keys.METRICS, QUEUE])
def test_a_worker_names_the_key_and_goes_on_when_it_is_mended(
    name: str, settings: Settings, redis_client: redis.Redis, tmp_path: Path
) -> None:
    environment = {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry"}
    emitter = Emitter(settings, registry)
    with running_worker(tmp_path, environment | {"MOODY_DIR": str(tmp_path)}, "-c", "1") as worker:
        with foreign(redis_client, name):
            assert emitter.emit(Moody(user_id=uuid4()))
            wait_until(lambda: f"bridge.store.wrong_key: The key {name} " in worker.text(), what="the worker names it")
            shown = run_cli("status", environment=environment)
            assert f"The key {name} holds" in shown.stdout.replace("\n", "")
            assert shown.returncode == (0 if name == keys.METRICS else 1), shown
            found = run_cli("check", "--connect", environment=environment)
            assert f"The key {name} holds" in (found.stdout + found.stderr).replace("\n", "")
        assert emitter.flush(WAIT_S)
        wait_until(lambda: redis_client.hget(keys.COUNTS, "published") == "1", what="the event is published")
        assert "Traceback" not in worker.text()
    emitter.close()
    assert run_cli("audit", environment=environment).returncode == 0


def test_an_audit_over_a_wrong_key_says_where_to_look(settings: Settings, redis_client: redis.Redis) -> None:
    with foreign(redis_client, keys.COUNTS):
        answer = run_cli("audit", environment={"BRIDGE_BROKER_URL": settings.broker_url})
    assert answer.returncode == 1
    assert "sse-bridge status names it" in answer.stderr.replace("\n", " ")
    assert "Check that Redis runs" not in answer.stderr and "Traceback" not in answer.stderr
