"""The emitter against real, refused, frozen and returning brokers: never in the way, and nothing lost."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import DeliveryError, Emitter, EventRefusedError, Settings
from bridge.catalogs.finance import REGISTRY, AccountBalanceUpdated, FileImportFailed, FileImportSucceeded
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.model.events import DomainEvent
from bridge.producer import default
from bridge.redis_adapter import RedisTaskQueue
from tests.support.items import envelopes_of
from tests.support.processes import clean_environment, run
from tests.support.waiting import PATIENCE, WAIT_S, wait_until

QUEUE = "bridge.import"


def event(number: int = 0) -> FileImportSucceeded:
    return FileImportSucceeded(user_id=uuid4(), file_name="statement.csv", transaction_count=number)


def queued(client: redis.Redis, queue: str = QUEUE) -> list[dict[str, object]]:
    """The envelopes on a queue, oldest first."""
    envelopes: list[dict[str, object]] = []
    for item in reversed(client.lrange(queue, 0, -1)):
        envelopes += envelopes_of(item)
    return envelopes


@pytest.fixture
def emitter(settings: Settings) -> Iterator[Emitter]:
    emitter = Emitter(settings, REGISTRY)
    yield emitter
    emitter.close(0)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that the test may stop, freeze and start again on the same port."""
    server = EmbeddedServer(port=free_port(), folder=tmp_path / "redis").start()
    yield server
    server.stop()


def test_events_arrive_in_order_as_cloudevents(emitter: Emitter, redis_client: redis.Redis) -> None:
    events = [event(number) for number in range(1200)]
    assert emitter.emit_many(events) == 1200
    assert emitter.flush(WAIT_S)
    envelopes = queued(redis_client)
    assert [envelope["data"]["transaction_count"] for envelope in envelopes] == list(range(1200))
    first = envelopes[0]
    assert (first["specversion"], first["type"], first["source"]) == ("1.0", "FileImportSucceeded", "bridge")
    assert first["id"] == str(events[0].event_id)
    assert redis_client.llen(QUEUE) == 12  # 100 events a message
    assert emitter.counts["delivered"] == emitter.counts["accepted"] == 1200


def test_a_message_never_exceeds_its_bound_in_bytes(redis_url: str, redis_client: redis.Redis) -> None:
    emitter = Emitter(Settings(broker_url=redis_url, event_max_bytes=4096, message_max_bytes=8192), REGISTRY)
    emitter.emit_many([FileImportFailed(user_id=uuid4(), file_name="x", reason="r" * 3000) for _ in range(5)])
    assert emitter.flush(WAIT_S)
    assert redis_client.llen(QUEUE) == 3
    emitter.close()


def test_an_unmapped_event_goes_nowhere(emitter: Emitter, redis_client: redis.Redis, caplog) -> None:
    assert emitter.emit(DomainEvent(user_id=uuid4())) is False
    assert emitter.emit("no event at all") is False
    assert emitter.flush(0.1)
    assert not redis_client.keys()
    assert emitter.counts["unmapped"] == 2


class _Subclass(FileImportSucceeded):
    pass


def test_an_event_without_a_mapping_is_told_of_once_a_class(emitter: Emitter, caplog) -> None:
    unmapped = [DomainEvent(user_id=uuid4()), _Subclass(user_id=uuid4(), file_name="x", transaction_count=1), 5, None]
    for event in unmapped * 3:
        assert emitter.emit(event) is False
    assert emitter.emit_many(unmapped) == 0
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[1] for line in lines] == [
        "bridge.model.events.types.DomainEvent",
        f"{__name__}._Subclass",
        "builtins.int",
        "builtins.NoneType",
    ]
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert all("BRIDGE_REGISTRY" in line and "bridge.catalogs.finance.catalog:REGISTRY" in line for line in lines)
    assert emitter.counts["unmapped"] == 16


def test_classes_without_a_mapping_are_bounded_in_number(emitter: Emitter, caplog) -> None:
    for number in range(100):
        assert emitter.emit(type(f"Made{number}", (), {})()) is False
    assert len(caplog.records) == 20
    assert emitter.counts["unmapped"] == 100


def test_strict_mode_refuses_an_event_without_a_mapping(settings) -> None:
    strict = Emitter(settings, REGISTRY, strict=True)
    for unmapped in (DomainEvent(user_id=uuid4()), 5):
        with pytest.raises(EventRefusedError, match="has no mapping"):
            strict.emit(unmapped)
    with pytest.raises(EventRefusedError, match="has no mapping"):
        strict.emit_many([event(), 5])
    assert strict.counts["accepted"] == 0
    strict.close()


@pytest.mark.parametrize("earlier", [0, 1], ids=["first event", "later event"])
@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"user_id": 5}, "user_id"),
        ({"user_id": "not a UUID"}, "user_id"),
        ({"file_name": None}, "file_name"),
        ({"file_name": 5}, "file_name"),
        ({"file_name": ["x"]}, "file_name"),
        ({"transaction_count": "5"}, "transaction_count"),
        ({"transaction_count": True}, "transaction_count"),
        ({"transaction_count": 1.5}, "transaction_count"),
        ({"transaction_count": None}, "transaction_count"),
    ],
)
def test_a_value_that_the_worker_could_not_read_is_refused(emitter, settings, caplog, earlier, bad, field) -> None:
    made = {"user_id": uuid4(), "file_name": "x", "transaction_count": 1, **bad}
    assert emitter.emit_many(event() for _ in range(earlier)) == earlier
    assert emitter.emit(FileImportSucceeded(**made)) is False
    assert emitter.emit_many([FileImportSucceeded(**made)]) == 0
    assert emitter.counts["refused"] == 2
    assert field in caplog.text
    strict = Emitter(settings, REGISTRY, strict=True)
    with pytest.raises(EventRefusedError, match=field):
        strict.emit(FileImportSucceeded(**made))


@pytest.mark.parametrize(
    "odd",
    [{"user_id": None}, {"user_id": "0f8fad5b-d9cb-469f-a165-70867728950e"}, {"transaction_count": 2**70}],
)
def test_a_value_of_another_type_that_the_worker_can_read_is_accepted(emitter, redis_client, odd) -> None:
    assert emitter.emit(event())
    assert emitter.emit(FileImportSucceeded(**{"user_id": uuid4(), "file_name": "x", "transaction_count": 1, **odd}))
    assert emitter.flush()
    assert len(queued(redis_client)) == 2


@pytest.mark.parametrize("earlier", [0, 1], ids=["first event", "later event"])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (FileImportFailed(user_id=uuid4(), file_name="x", reason="y" * 70_000), "BRIDGE_EVENT_MAX_BYTES"),
        (FileImportFailed(user_id=uuid4(), file_name="x", reason="\ud800"), "lone surrogate"),
        (FileImportFailed(user_id=uuid4(), file_name="x", reason=float("nan")), "not a finite number"),  # type: ignore[arg-type]
        (FileImportFailed(user_id=uuid4(), file_name="x", reason=object()), "cannot be written"),  # type: ignore[arg-type]
        (FileImportFailed(event_id="one", user_id=uuid4(), file_name="x", reason="y"), "must be a UUID"),  # type: ignore[arg-type]
        (FileImportFailed(occurred_at=None, user_id=uuid4(), file_name="x", reason="y"), "timezone"),  # type: ignore[arg-type]
    ],
)
def test_an_event_that_cannot_travel_is_refused_with_a_reason(emitter, settings, caplog, earlier, bad, reason) -> None:
    assert emitter.emit_many(event() for _ in range(earlier)) == earlier
    assert emitter.emit(bad) is False
    assert reason in caplog.text
    assert emitter.counts["refused"] == 1
    strict = Emitter(settings, REGISTRY, strict=True)
    with pytest.raises(EventRefusedError, match=reason):
        strict.emit(bad)


@pytest.mark.parametrize("earlier", [0, 1], ids=["first event", "later event"])
def test_an_event_cannot_change_after_it_was_emitted(emitter: Emitter, redis_client: redis.Redis, earlier: int) -> None:
    emitter.emit_many(event() for _ in range(earlier))
    balance = AccountBalanceUpdated(
        user_id=uuid4(),
        account_id=uuid4(),
        previous_balance=Decimal("1.10"),
        new_balance=Decimal("2.20"),
        currency="EUR",
    )
    emitter.emit(balance)
    object.__setattr__(balance, "currency", "XXX")
    assert emitter.flush(WAIT_S)
    assert queued(redis_client, "bridge.portfolio")[0]["data"]["currency"] == "EUR"


def test_threads_and_asyncio_share_an_emitter(emitter: Emitter, redis_client: redis.Redis) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: emitter.emit_many([event() for _ in range(100)]), range(40))) == 4000

    async def emit_from_loop() -> None:
        await asyncio.gather(*(asyncio.to_thread(emitter.emit, event()) for _ in range(10)))
        emitter.emit(event())

    asyncio.run(emit_from_loop())
    assert emitter.flush(WAIT_S)
    assert len({envelope["id"] for envelope in queued(redis_client)}) == 4011


@pytest.mark.parametrize("trouble", ["refused", "frozen"])
def test_a_broker_in_trouble_costs_the_caller_nothing_and_loses_nothing(own_server, caplog, trouble) -> None:
    emitter = Emitter(Settings(broker_url=own_server.url), REGISTRY)
    emitter.emit(event())
    assert emitter.flush(WAIT_S)
    frozen_pid = own_server.pid
    if trouble == "refused":
        own_server.stop()
    else:
        os.kill(frozen_pid, signal.SIGSTOP)
    slowest_s = 0.0
    for number in range(2000):
        begin = time.perf_counter()
        assert emitter.emit(event(number))
        slowest_s = max(slowest_s, time.perf_counter() - begin)
    assert slowest_s < 0.5  # Celery's own takes 0.6 s, or several
    assert emitter.flush(0.2) is False
    if trouble == "refused":
        wait_until(lambda: emitter.counts["broker_errors"], what="the trouble is counted")
        assert caplog.text.count("bridge.broker.away") == 1
        own_server.start()
    else:
        os.kill(frozen_pid, signal.SIGCONT)
    assert emitter.flush(WAIT_S)
    with redis.Redis.from_url(own_server.url) as client:
        numbers = [envelope["data"]["transaction_count"] for envelope in queued(client)]
    assert numbers[-2000:] == list(range(2000))
    emitter.close()


def test_strict_mode_raises_when_the_broker_is_away(caplog) -> None:
    emitter = Emitter(Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0"), REGISTRY, strict=True)
    with pytest.raises(DeliveryError, match="did not confirm"):
        emitter.emit(event())
    assert emitter.close(0) is False
    assert emitter.counts["abandoned"] == 1
    assert "bridge.emitter.abandoned events=1" in caplog.text


def test_strict_mode_returns_when_the_broker_has_the_event(settings, redis_client) -> None:
    emitter = Emitter(settings, REGISTRY, strict=True)
    assert emitter.emit(event())
    assert redis_client.llen(QUEUE) == 1
    emitter.close()


def test_a_full_buffer_refuses_counts_and_says_so_once(caplog) -> None:
    settings = Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0", emit_buffer_max=10)
    emitter = Emitter(settings, REGISTRY)
    assert emitter.emit_many([event() for _ in range(15)]) == 10
    assert [emitter.emit(event()) for _ in range(5)] == [False] * 5
    assert emitter.counts["overflowed"] == 10
    assert caplog.text.count("bridge.event.overflowed") == 1
    assert "BRIDGE_EMIT_BUFFER_MAX" in caplog.text
    emitter.close(0)


def test_a_full_redis_is_waited_out(own_server) -> None:
    with redis.Redis.from_url(own_server.url) as client:
        emitter = Emitter(Settings(broker_url=own_server.url), REGISTRY)
        client.config_set("maxmemory", 1)
        assert emitter.emit(event())
        wait_until(lambda: emitter.counts["broker_errors"], what="Redis refuses")
        client.config_set("maxmemory", 0)
        assert emitter.flush(WAIT_S)
        assert client.llen(QUEUE) >= 1
        emitter.close()


def test_a_forked_child_sends_its_own_events_and_not_its_parents(settings, redis_client) -> None:
    emitter = Emitter(settings, REGISTRY)
    emitter.emit(event(1))
    assert emitter.flush(WAIT_S)
    pid = os.fork()
    if pid == 0:
        emitter.emit(event(2))
        os._exit(0 if emitter.flush(WAIT_S) else 1)
    _, status = os.waitpid(pid, 0)
    assert status == 0
    emitter.emit(event(3))
    assert emitter.flush(WAIT_S)
    assert [envelope["data"]["transaction_count"] for envelope in queued(redis_client)] == [1, 2, 3]
    emitter.close()


def _emit_in_child(url: str, number: int) -> None:
    emitter = Emitter(Settings(broker_url=url), REGISTRY)
    emitter.emit_many([event(number) for _ in range(100)])


@pytest.mark.parametrize("library", ["multiprocessing", "billiard"])
def test_a_child_process_that_ends_at_once_delivers_what_it_accepted(library, redis_url, redis_client) -> None:
    # A process of its own, because a fork of a process with threads is what Python warns about.
    code = (
        f"import {library} as library, sys; from tests.integration.test_producer_emitter import _emit_in_child\n"
        "library.set_start_method('fork') if library.__name__ == 'multiprocessing' else None\n"
        f"children = [library.Process(target=_emit_in_child, args=({redis_url!r}, n)) for n in range(3)]\n"
        "[child.start() for child in children]; [child.join() for child in children]\n"
    )
    done = run([sys.executable, "-c", code], clean_environment())
    assert done.returncode == 0, done.stderr
    assert len(queued(redis_client)) == 300


def test_a_thread_that_cannot_start_is_counted_and_tried_again(settings, redis_client, monkeypatch, caplog) -> None:
    emitter = Emitter(settings, REGISTRY)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert emitter.emit(event(1))
    assert emitter.counts["broker_errors"] == 1
    assert "bridge.emitter.stalled" in caplog.text
    assert emitter.emit(event(2))
    assert emitter.flush(WAIT_S)
    assert len(queued(redis_client)) == 2
    emitter.close()


def test_what_no_thread_could_send_is_sent_at_the_end(settings, redis_client, monkeypatch) -> None:
    emitter = Emitter(settings, REGISTRY)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert emitter.emit(event(1))
    assert emitter.close()
    assert len(queued(redis_client)) == 1


def test_trouble_of_any_kind_is_waited_out(settings, redis_client, monkeypatch) -> None:
    emitter = Emitter(settings, REGISTRY)
    send = RedisTaskQueue.send
    failures = iter([ValueError("a bug"), MemoryError()])

    def trip(self: RedisTaskQueue, messages: object) -> None:
        error = next(failures, None)
        if error is not None:
            raise error
        send(self, messages)  # type: ignore[arg-type]

    monkeypatch.setattr(RedisTaskQueue, "send", trip)
    assert emitter.emit(event(1))
    assert emitter.flush(WAIT_S)
    assert emitter.counts["broker_errors"] == 2
    assert len(queued(redis_client)) == 1
    emitter.close()


def test_an_event_that_turns_out_unwritable_holds_up_no_other(emitter: Emitter, redis_client, caplog) -> None:
    damaged = UUID.__new__(UUID)  # without its number
    assert not emitter.emit(FileImportSucceeded(event_id=damaged, user_id=uuid4(), file_name="x", transaction_count=0))
    assert emitter.emit(event(1))
    assert emitter.emit(FileImportSucceeded(user_id=damaged, file_name="x", transaction_count=2))
    assert emitter.emit(event(3))
    assert emitter.flush(WAIT_S)
    assert [envelope["data"]["transaction_count"] for envelope in queued(redis_client)] == [1, 3]
    assert (emitter.counts["accepted"], emitter.counts["delivered"], emitter.counts["abandoned"]) == (3, 2, 1)
    assert "could not be written" in caplog.text


SCRIPT = """
from uuid import uuid4
from bridge import emit
from bridge.catalogs.finance import FileImportSucceeded
for number in range(3000):
    emit(FileImportSucceeded(user_id=uuid4(), file_name="x", transaction_count=number))
"""


def _run_script(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-c", SCRIPT], clean_environment(environment))


def test_a_process_that_ends_delivers_what_it_accepted(redis_url, redis_client) -> None:
    result = _run_script({"BRIDGE_BROKER_URL": redis_url})
    assert (result.returncode, result.stderr) == (0, "")
    assert len(queued(redis_client)) == 3000


def test_a_process_whose_broker_is_away_ends_in_time_and_says_what_is_missing() -> None:
    begin = time.monotonic()
    result = _run_script({"BRIDGE_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0", "BRIDGE_EMIT_EXIT_FLUSH_S": "0.5"})
    assert time.monotonic() - begin < 8 * PATIENCE
    assert result.returncode == 0
    assert "bridge.emitter.abandoned events=3000" in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_settings_do_not_disturb_the_producer(monkeypatch, caplog) -> None:
    monkeypatch.setenv("BRIDGE_BROKER_URL", "http://wrong")
    monkeypatch.setattr(default, "_emitter", None)
    monkeypatch.setattr(default, "_broken", False)
    assert default.emit(event()) is False
    assert default.emit_many([event()]) == 0
    assert default.flush(0.1) is False
    assert caplog.text.count("bridge.emitter.misconfigured") == 1
    assert caplog.records[0].levelno == logging.CRITICAL
