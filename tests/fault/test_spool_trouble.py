"""Whatever stands in a spool directory, and whatever the disk does: all that is accepted is published."""

import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, Settings
from bridge.catalogs.finance import REGISTRY
from tests.support.producers import event, numbers
from tests.support.spool import leave_spool, left_over, plant, set_aside
from tests.support.waiting import PROCESS_TIMEOUT_S, WAIT_S, wait_until
from tests.support.worker import ROOT, clean_environment


def as_root() -> None:
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("CI runs these as root")
        pytest.skip("needs root")


def _make_unreadable(folder: Path) -> None:
    """One of each kind; names stand before and behind those of healthy files."""
    for place in ("0", "9"):
        (folder / f"{place}-random.spool").write_bytes(os.urandom(50_000))
        (folder / f"{place}-empty.spool").touch()
        (folder / f"{place}-link.spool").symlink_to("/etc/passwd")
        (folder / f"{place}-folder.spool").mkdir()
        os.mkfifo(folder / f"{place}-pipe.spool")
        truncated = leave_spool(folder, range(2_000), name=f"{place}-truncated")
        with truncated.open("r+b") as file:
            file.truncate(truncated.stat().st_size // 2)
        with truncated.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(4096))
        for envelope in (b"no JSON", 12, b"", b"[" * 10_000):
            plant(leave_spool(folder, [4_000], name=f"{place}-rows-{uuid4().hex}"), envelope=envelope)
        plant(leave_spool(folder, [4_000], name=f"{place}-type"), task=b"\xff", queue=1.5)
        (folder / f"{place}-locked.lock").mkdir()
        (folder / f"{place}-locked.spool").touch()


def test_no_file_in_the_directory_stops_a_producer(redis_url: str, redis_client: redis.Redis, tmp_path, caplog) -> None:
    folder = tmp_path / "spool"
    leave_spool(folder, range(1_000, 1_100), name="5-healthy")
    leave_spool(folder, range(1_100, 1_200), name="91-healthy")
    _make_unreadable(folder)
    held = sqlite3.connect(leave_spool(folder, [5_555], name="4-held"), isolation_level=None)
    held.execute("PRAGMA locking_mode = EXCLUSIVE")
    held.execute("BEGIN EXCLUSIVE")
    emitter = Emitter(Settings(broker_url=redis_url, redis_url=redis_url, spool_dir=str(folder)), REGISTRY)
    assert sum(emitter.emit(event(number)) for number in range(500)) == 500
    assert emitter.flush(WAIT_S)
    wait_until(
        lambda: set(numbers(redis_client)) >= {*range(500), *range(1_000, 1_200), 4_000}, what="healthy files are sent"
    )
    assert len(set_aside(folder)) >= 12
    assert caplog.text.count("bridge.spool.set_aside") == len(set_aside(folder))
    assert caplog.text.count("bridge.thread.failed") == 0
    held.execute("ROLLBACK")
    held.close()
    wait_until(lambda: 5_555 in numbers(redis_client), what="what was held is sent when it is free")
    assert emitter.close()
    assert [name for name in left_over(folder) if "locked" not in name and "type" not in name] == []


def test_our_own_file_damaged_under_us_costs_what_was_in_it_at_the_most(redis_url, redis_client, tmp_path) -> None:
    folder = tmp_path / "spool"
    emitter = Emitter(Settings(broker_url=redis_url, spool_dir=str(folder)), REGISTRY)
    assert emitter.emit(event(0))
    assert emitter.flush(WAIT_S)
    (path,) = folder.glob("*.spool")
    for name in (path, path.with_name(path.name + "-wal")):
        with name.open("r+b") as file:
            file.write(os.urandom(8192))
    assert sum(emitter.emit(event(number)) for number in range(1, 300)) == 299
    assert emitter.flush(WAIT_S)
    counts = emitter.counts
    assert set(numbers(redis_client)) >= {0}
    assert counts["delivered"] + counts["abandoned"] == 300
    assert counts["delivered"] >= 299 or counts["abandoned"]
    assert sum(emitter.emit(event(number)) for number in range(300, 400)) == 100
    assert emitter.flush(WAIT_S)
    assert set(numbers(redis_client)) >= set(range(300, 400))
    emitter.close()


def test_a_directory_that_is_removed_while_the_broker_is_away_loses_nothing(redis_url, redis_client, tmp_path) -> None:
    folder = tmp_path / "spool"
    away = Settings(broker_url="redis://127.0.0.1:1/0", spool_dir=str(folder))
    emitter = Emitter(away, REGISTRY)
    assert sum(emitter.emit(event(number)) for number in range(100)) == 100
    wait_until(lambda: _rows(folder) == 100, what="all are on disk")
    shutil.rmtree(folder)
    assert sum(emitter.emit(event(number)) for number in range(100, 200)) == 100
    wait_until(lambda: _rows(folder) == 200, what="all are on disk again")
    emitter.close(0.1)
    assert emitter.counts["spooled"] == 200
    heir = Emitter(Settings(broker_url=redis_url, spool_dir=str(folder)), REGISTRY)
    heir.emit(event(200))
    wait_until(lambda: set(numbers(redis_client)) == set(range(201)), what="the next process sends all")
    heir.close()


def _rows(folder: Path) -> int:
    total = 0
    for path in folder.glob("*.spool"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            made = db.execute("SELECT 1 FROM sqlite_master").fetchone()
            total += db.execute("SELECT count(*) FROM events").fetchone()[0] if made else 0
    return total


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own."""
    as_root()
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_holds_up_no_event(redis_url: str, redis_client: redis.Redis, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        emitter = Emitter(Settings(broker_url=redis_url, spool_dir=str(disk / "spool")), REGISTRY)
        assert emitter.emit(event(0))
        assert emitter.flush(WAIT_S)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 4096)
        accepted = {0}
        full_until = time.monotonic() + 8
        number = 0
        while time.monotonic() < full_until:
            number += 1
            if emitter.emit(event(number)):
                accepted.add(number)
            time.sleep(0.001)
        assert emitter.counts["spool_full"]
        assert emitter.flush(WAIT_S)
        assert set(numbers(redis_client)) == accepted
        filler.unlink()
        wait_until(lambda: _goes_through_the_disk(emitter), what="the disk is used again")
        assert emitter.close()
        assert emitter.counts["delivered"] == emitter.counts["accepted"]
        assert left_over(disk / "spool") == []


def _goes_through_the_disk(emitter: Emitter) -> bool:
    before = emitter.counts["spool_full"]
    assert emitter.emit(event(99_999))
    assert emitter.flush(WAIT_S)
    spooler = emitter._background._spooler
    return spooler is not None and not spooler._disk.failures and emitter.counts["spool_full"] == before


def test_a_disk_that_is_full_from_the_start_holds_up_no_event(redis_url, redis_client, tmp_path, caplog) -> None:
    with small_disk(tmp_path / "disk", "8k") as disk:
        emitter = Emitter(Settings(broker_url=redis_url, spool_dir=str(disk / "spool")), REGISTRY)
        assert sum(emitter.emit(event(number)) for number in range(2_000)) == 2_000
        assert emitter.flush(WAIT_S)
        assert set(numbers(redis_client)) == set(range(2_000))
        assert emitter.close()
        assert emitter.counts["spool_full"]


LIMITED = """
import resource, sys
from bridge import emit, flush
from tests.support.producers import event
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
sys.exit(0 if sum(emit(event(number)) for number in range(3000)) == 3000 and flush(20) else 1)
"""


def test_a_limit_of_file_sizes_holds_up_no_event(redis_url, redis_client, tmp_path) -> None:
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": redis_url, "BRIDGE_SPOOL_DIR": str(tmp_path / "spool")}
    subprocess.run([sys.executable, "-c", LIMITED], cwd=ROOT, env=environment, check=True, timeout=PROCESS_TIMEOUT_S)
    assert set(numbers(redis_client)) == set(range(3_000))


AS_USER = """
import os, sys, time
uid, first = int(sys.argv[1]), int(sys.argv[2])
from bridge import configure, emit, flush
from tests.support.producers import event
configure()  # the interpreter may be out of the other user's reach
os.setgroups([]); os.setgid(uid); os.setuid(uid)
ok = sum(emit(event(number)) for number in range(first, first + 200)) == 200 and flush(20)
print("sent", flush=True)
sys.stdin.readline()
sys.exit(0 if ok else 1)
"""


def test_services_of_different_users_share_a_directory_and_each_sends_its_own(redis_url, redis_client, request) -> None:
    as_root()
    # Not below pytest's own directory, which each run closes to other users.
    folder = Path(tempfile.mkdtemp(prefix="bridge-spool-"))
    request.addfinalizer(lambda: shutil.rmtree(folder))
    folder.chmod(0o1777)
    nobody = pwd.getpwnam("nobody").pw_uid
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": redis_url, "BRIDGE_SPOOL_DIR": str(folder)}
    # What each finds of the other: files of one that lives, and of one that is no more.
    for uid, name in ((0, "0-dead-root"), (nobody, "0-dead-nobody"), (12_345, "0-dead-third")):
        dead = leave_spool(folder, [50_000 + uid % 1_000], name=name)
        os.chown(dead, uid, uid)
        lock = dead.with_suffix(".lock")
        lock.touch(mode=0o600)
        os.chown(lock, uid, uid)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", AS_USER, str(uid), str(first)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for uid, first in ((nobody, 0), (12_345, 1_000), (nobody, 2_000))
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "sent\n"
    expected = {*range(200), *range(1_000, 1_200), *range(2_000, 2_200), 50_000 + nobody % 1_000, 50_345}
    wait_until(lambda: set(numbers(redis_client)) >= expected, what="each sends its own")
    for process in processes:
        process.communicate("\n", timeout=30)
        assert process.returncode == 0
    assert left_over(folder) == ["0-dead-root.lock", "0-dead-root.spool"]
