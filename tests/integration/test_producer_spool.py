"""The spool: what was accepted is on disk while the broker is away, and arrives when it is back, whoever is left."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, Settings
from bridge.catalogs.finance import REGISTRY, FileImportSucceeded
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.runtime.supervision import SupervisedThread
from tests.integration.test_producer_emitter import event, queued
from tests.support.spool import leave_spool
from tests.support.waiting import PROCESS_TIMEOUT_S, WAIT_S, wait_until
from tests.support.worker import ROOT, clean_environment

AWAY = "redis://127.0.0.1:1/0"


def numbers(client: redis.Redis) -> list[int]:
    return [envelope["data"]["transaction_count"] for envelope in queued(client)]  # type: ignore[index]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(port=free_port(), folder=tmp_path / "redis").start()
    yield server
    server.stop()


def test_events_pass_through_the_spool_in_order_and_leave_nothing_behind(redis_url, redis_client, tmp_path) -> None:
    emitter = Emitter(Settings(broker_url=redis_url, spool_dir=str(tmp_path / "spool")), REGISTRY)
    for number in range(3000):
        assert emitter.emit(event(number))
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == list(range(3000))
    assert emitter.close()
    assert not list((tmp_path / "spool").iterdir())


@pytest.mark.parametrize("trouble", ["refused", "frozen"])
def test_a_producer_that_is_killed_while_the_broker_is_away_loses_nothing(server, tmp_path, trouble) -> None:
    folder = tmp_path / "spool"
    if trouble == "refused":
        server.stop()
    else:
        os.kill(server.pid, signal.SIGSTOP)
    code = (
        "import sys, time; from uuid import uuid4; from bridge import emit\n"
        "from bridge.catalogs.finance import FileImportSucceeded\n"
        "slowest = 0\n"
        "for number in range(2000):\n"
        "    begin = time.perf_counter()\n"
        "    assert emit(FileImportSucceeded(user_id=uuid4(), file_name='x', transaction_count=number))\n"
        "    slowest = max(slowest, time.perf_counter() - begin)\n"
        "print(slowest, flush=True); time.sleep(60)\n"
    )
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": server.url, "BRIDGE_SPOOL_DIR": str(folder)}
    producer = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert producer.stdout is not None
    slowest_s = float(producer.stdout.readline())
    wait_until(lambda: _waiting(folder) == 2000, what="all are on disk")
    producer.kill()
    producer.wait()
    producer.stdout.close()
    print(f"{trouble}: slowest emit {slowest_s * 1e3:.2f} ms")
    if trouble == "refused":
        server.start()
    else:
        os.kill(server.pid, signal.SIGCONT)
    heir = Emitter(Settings(broker_url=server.url, spool_dir=str(folder)), REGISTRY)
    assert heir.emit(event(9999))
    with redis.Redis.from_url(server.url) as client:
        wait_until(lambda: len(set(numbers(client))) == 2001, what="the next process sends what the dead one left")
        arrived = numbers(client)
    old = [number for number in arrived if number != 9999]
    assert list(dict.fromkeys(old)) == list(range(2000))
    heir.close()
    assert not list(folder.iterdir())


def _waiting(folder: Path) -> int:
    """How many events the files hold; read as a stranger, without their locks."""
    total = 0
    for path in folder.glob("*.spool") if folder.exists() else []:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone()
            total += db.execute("SELECT count(*) FROM events").fetchone()[0] if made else 0
    return total


def test_an_orderly_end_leaves_the_undelivered_to_the_next_process(redis_url, redis_client, tmp_path, caplog) -> None:
    folder = tmp_path / "spool"
    first = Emitter(Settings(broker_url=AWAY, spool_dir=str(folder)), REGISTRY)
    assert first.emit_many([event(number) for number in range(50)]) == 50
    wait_until(lambda: _waiting(folder) == 50, what="all are on disk")
    assert first.close(0.1)
    assert first.counts["abandoned"] == 0
    assert "bridge.emitter.spooled events=50" in caplog.text
    second = Emitter(Settings(broker_url=redis_url, spool_dir=str(folder)), REGISTRY)
    second.emit(event(50))
    wait_until(lambda: sorted(numbers(redis_client)) == list(range(51)), what="all arrive")
    second.close()


def test_processes_share_a_directory(redis_url, redis_client, tmp_path) -> None:
    code = (
        "from uuid import uuid4; from bridge import emit\n"
        "from bridge.catalogs.finance import FileImportSucceeded\n"
        "for number in range(500):\n"
        "    emit(FileImportSucceeded(user_id=uuid4(), file_name='x', transaction_count=number))\n"
    )
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": redis_url, "BRIDGE_SPOOL_DIR": str(tmp_path / "spool")}
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment) for _ in range(4)]
    assert [process.wait(PROCESS_TIMEOUT_S) for process in processes] == [0] * 4
    wait_until(lambda: len({envelope["id"] for envelope in queued(redis_client)}) == 2000, what="all arrive")
    assert not list((tmp_path / "spool").iterdir())


def test_a_full_spool_is_counted_and_loses_nothing_accepted(redis_url, redis_client, tmp_path, caplog) -> None:
    settings = Settings(broker_url=AWAY, spool_dir=str(tmp_path / "spool"), spool_max_bytes=65_536, emit_buffer_max=500)
    emitter = Emitter(settings, REGISTRY)
    accepted = sum(emitter.emit(event(number)) for number in range(3000))
    wait_until(lambda: emitter.counts["spool_full"], what="the spool is full")
    accepted += sum(emitter.emit(event(number)) for number in range(3000, 4000))
    assert accepted < 4000
    assert emitter.counts["overflowed"] == 4000 - accepted
    assert "bridge.spool.full" in caplog.text
    emitter.close(0.1)
    assert emitter.counts["spooled"] + emitter.counts["abandoned"] == accepted


def test_a_directory_that_cannot_be_used_is_said_and_the_business_carries_on(
    redis_url, redis_client, tmp_path, caplog
) -> None:
    (tmp_path / "file").write_text("in the way")
    emitter = Emitter(Settings(broker_url=redis_url, spool_dir=str(tmp_path / "file")), REGISTRY)
    assert emitter.emit(event(1))
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == [1]
    assert "bridge.spool.unusable" in caplog.text
    emitter.close()


def test_a_forked_child_has_a_spool_of_its_own(redis_url, redis_client, tmp_path) -> None:
    code = (
        "import os; from uuid import uuid4; from bridge import emit, flush\n"
        "from bridge.catalogs.finance import FileImportSucceeded\n"
        "def one(n): emit(FileImportSucceeded(user_id=uuid4(), file_name='x', transaction_count=n)); assert flush(99)\n"
        "one(1); pid = os.fork()\n"
        "one(2 if pid == 0 else 3)\n"
        "if pid == 0: os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0; one(4)\n"
    )
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": redis_url, "BRIDGE_SPOOL_DIR": str(tmp_path / "spool")}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, timeout=PROCESS_TIMEOUT_S)
    assert sorted(numbers(redis_client)) == [1, 2, 3, 4]


def test_the_wait_for_the_disk_is_not_the_callers(redis_url, tmp_path) -> None:
    emitter = Emitter(Settings(broker_url=redis_url, spool_dir=str(tmp_path / "spool")), REGISTRY)
    costs_s = []
    for number in range(500):
        made = FileImportSucceeded(user_id=uuid4(), file_name="x", transaction_count=number)
        begin = time.perf_counter()
        emitter.emit(made)
        costs_s.append(time.perf_counter() - begin)
        time.sleep(0.001)
    emitter.close()
    assert sorted(costs_s)[250] < 0.001


@pytest.mark.parametrize("readable", [True, False])
def test_own_events_do_not_wait_behind_all_that_others_left(redis_url, tmp_path, readable: bool) -> None:
    left = leave_spool(tmp_path, [1]).read_bytes() if readable else b"x" * 1_000
    for number in range(2_500):
        (tmp_path / f"0-{number:05}.spool").write_bytes(left)
    emitter = Emitter(Settings(broker_url=redis_url, spool_dir=str(tmp_path)), REGISTRY)
    assert emitter.emit(event(7))
    assert emitter.flush(WAIT_S)
    assert len(list(tmp_path.glob("0-*.spool"))) > 1_000
    assert emitter.close()


def test_a_file_of_any_name_is_sent_and_troubles_no_thread(redis_url, redis_client, tmp_path) -> None:
    leave_spool(tmp_path, [7], name="\udcff\udcfe ü")
    emitter = Emitter(Settings(broker_url=redis_url, spool_dir=str(tmp_path)), REGISTRY)
    assert emitter.emit(event(8))
    wait_until(lambda: sorted(numbers(redis_client)) == [7, 8], what="both arrive")
    wait_until(lambda: not list(tmp_path.glob("\udcff*")), what="the file is gone")
    assert emitter.close()  # its threads say what is left, and withdraw what the file's process had reported
    assert not [thread.state for thread in (*emitter._background._threads, reporter_of(emitter)) if thread.state.error]


def reporter_of(emitter: Emitter) -> SupervisedThread:
    return emitter._background._reporter.thread
