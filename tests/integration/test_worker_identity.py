"""Workers in containers that share host name and process id: each reports for itself, and a death is seen."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from bridge.catalogs.finance.catalog import REGISTRY
from bridge.operations.health import STILL_S
from bridge.operations.status import StatusReader
from bridge.redis_adapter import Workers
from bridge.runtime.identity import process_name
from bridge.runtime.reports import WorkerReport
from bridge.settings import Settings
from bridge.wiring import open_store
from tests.support import keys
from tests.support.waiting import wait_until
from tests.support.worker import ROOT, clean_environment

WORKER = ["-m", "celery", "-A", "bridge.worker", "worker", "-P", "solo", "--loglevel=INFO"]
CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
REPORT = {
    "host": "api",
    "pid": 7,
    "node": "celery@api",
    "pool": "prefork",
    "processes": 1,
    "queues": ("bridge.import",),
    "started": "2026-01-01T00:00:00+00:00",
    "consumed": 0,
    "in_hand": 0,
    "running": 0,
    "consumed_age_s": 1.0,
    "loop_age_s": 0.1,
    "oldest_task_s": 0.0,
}


def test_two_workers_with_one_host_name_and_process_id_are_two(client: redis.Redis) -> None:
    workers = Workers(client)
    workers.beat("api:7:aaaa11112222", WorkerReport(**REPORT))
    workers.beat("api:7:bbbb11112222", WorkerReport(**{**REPORT, "consumed": 5}))
    assert [(known.name, known.report.consumed) for known in workers.known()] == [("api:7~aaaa", 0), ("api:7~bbbb", 5)]
    workers.leave("api:7:aaaa11112222")
    assert [known.name for known in workers.known()] == ["api:7"]


def test_a_fork_has_another_name() -> None:
    mine = process_name()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, process_name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    assert process_name() == mine
    assert theirs.split(":")[1] == str(child)
    assert theirs.split(":")[2] != mine.split(":")[2]


@contextmanager
def contained_worker(settings: Settings, log: Path) -> Iterator[psutil.Process]:
    """A worker in a process namespace of its own, where it has the same number as any other such worker."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *CONTAINER,
                sys.executable,
                *["-m", "celery", "-A", "bridge.worker", "worker", "-P", "solo", "--loglevel=INFO"],
            ],
            cwd=ROOT,
            env={**clean_environment(), "BRIDGE_BROKER_URL": settings.broker_url},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: b" ready." in log.read_bytes() or process.poll() is not None, what="ready")
        assert process.poll() is None, log.read_text()
        yield psutil.Process(process.pid).children()[0]
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(
    not os.environ.get("CI") and subprocess.run([*CONTAINER, "true"], check=False, capture_output=True).returncode != 0,
    reason="needs the right to make process namespaces",
)
def test_the_death_of_one_of_two_alike_is_seen_and_stays_seen(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        first, _ = (
            stack.enter_context(contained_worker(settings, tmp_path / f"{name}.log")) for name in ("one", "two")
        )
        wait_until(lambda: len(Workers(client).known()) == 2, what="both report")
        one, two = Workers(client).known()
        assert (one.report.host, one.report.pid) == (two.report.host, two.report.pid)
        first.send_signal(signal.SIGKILL)
        reader = StatusReader(open_store(settings, briefly=True), settings, REGISTRY)
        wait_until(lambda: not reader.read().healthy, timeout_s=STILL_S + 10, what="the death is seen")
        # Two more beats of the other do not hide it.
        alive = min(Workers(client).known(), key=lambda known: known.silent_s).process
        seen_ms = _heard_ms(client, alive)
        wait_until(lambda: _heard_ms(client, alive) >= seen_ms + 6000, what="the other reports on")
        assert any("has not been heard" in fault.sentence for fault in reader.read().faults)
        assert len(Workers(client).known()) == 2
        reader.close()


def _heard_ms(client: redis.Redis, process: str) -> int:
    return int(client.hget(keys.WORKERS, process).partition(b" ")[0])
