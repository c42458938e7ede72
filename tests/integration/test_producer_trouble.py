"""A producer in trouble: its broker is away or full, its buffer is full, no thread starts, its process ends."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import DeliveryError, Emitter, Settings
from bridge.catalogs.finance import REGISTRY, FileImportSucceeded
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.producer import default
from bridge.redis_adapter import RedisTaskQueue
from bridge.redis_adapter.client import REPLY_TIMEOUT_S
from tests.integration.test_producer_emitter import QUEUE, event, queued
from tests.support.processes import clean_environment, run
from tests.support.producers import without_emitter
from tests.support.waiting import PATIENCE, WAIT_S, wait_until


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
    took_s = []
    for number in range(2000):
        begin = time.perf_counter()
        assert emitter.emit(event(number))
        took_s.append(time.perf_counter() - begin)
    # Celery's own takes 0.6 s, or several. Here the machine may be busy for some, but none waits for an answer.
    assert sorted(took_s)[-10] < 0.5
    assert max(took_s) < REPLY_TIMEOUT_S / 2
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
        f"import {library} as library, sys; from tests.integration.test_producer_trouble import _emit_in_child\n"
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
    without_emitter(monkeypatch)
    assert default.emit(event()) is False
    assert default.emit_many([event()]) == 0
    assert default.flush(0.1) is False
    assert caplog.text.count("bridge.emitter.misconfigured") == 1
    (said,) = [one.getMessage() for one in caplog.records if "misconfigured" in one.getMessage()]
    assert "The settings are wrong: BRIDGE_BROKER_URL must" in said and "\\n" not in said
    assert caplog.records[0].levelno == logging.CRITICAL
