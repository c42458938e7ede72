"""The thread that sends what waits in an outbox, over a database that a test speaks for."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest

from bridge.catalogs.finance import REGISTRY, FileImportSucceeded
from bridge.model.pipeline import EventCodec
from bridge.ports import Queue
from bridge.producer.outbox import drain as drain_module
from bridge.producer.outbox.drain import Drain
from bridge.producer.outbox.drains import Drains
from bridge.producer.sender import Progress
from bridge.runtime.supervision import supervised
from bridge.settings import ProducerSettings, Settings
from bridge.testing.state import ManualClock, State
from bridge.testing.task_queue import MemoryQueue
from tests.support.outbox import TASK
from tests.support.waiting import WAIT_S, wait_until

NOW_MS = 1_800_000_000_000


class Database:
    """Answers each statement by ``answer``."""

    dialect = "sqlite"
    maker = ""
    name = "sqlite:///shop"

    def __init__(self) -> None:
        self.answer: Callable[[str], Sequence[Sequence[Any]]] = _is_away

    @contextmanager
    def transaction(self) -> Iterator[Callable[..., Sequence[Sequence[Any]]]]:
        yield lambda sql, *_: self.answer(sql)

    def notices(self, stopping: Event) -> Iterator[None]:
        yield from ()

    def close(self) -> None:
        pass


def _is_away(_: str) -> Sequence[Sequence[Any]]:
    raise OSError("away")


def _is_anothers(sql: str) -> Sequence[Sequence[Any]]:
    """One row, which another process has just claimed."""
    if "COUNT" in sql:
        return [[1]]
    return [[NOW_MS, NOW_MS]] if "created_ms" in sql else [[1, 10, "another/1", NOW_MS, NOW_MS]]


class AwayQueue(MemoryQueue):
    """Takes nothing."""

    def __init__(self) -> None:
        super().__init__(State(Settings(), ManualClock()))
        self.faults.go_away()


def _has_a_row(sql: str) -> Sequence[Sequence[Any]]:
    """One row, which nobody has claimed."""
    event = FileImportSucceeded(user_id=uuid4(), file_name="a.csv", transaction_count=1)
    if "COUNT" in sql:
        return [[1]]
    if "created_ms" in sql:
        return [[NOW_MS, NOW_MS]]
    if "LENGTH(envelope), claimed_by" in sql:
        return [[1, 10, None, None, NOW_MS]]
    return [[1, TASK, EventCodec(type(event)).encode(event, source="test"), None]]


def drain_of(database: Database, queue: Queue | None = None) -> Drain:
    return Drain(
        database,
        queue or MemoryQueue(State(Settings(), ManualClock())),
        settings=ProducerSettings(),
        registry=REGISTRY,
        owner="me",
        progress=Progress(),
        drains=Drains(),
    )


def test_a_database_that_is_back_is_in_no_trouble_while_another_process_sends() -> None:
    database = Database()
    drain = drain_of(database)
    drain.start()
    wait_until(lambda: drain.report().trouble, what="it is in trouble")
    database.answer = _is_anothers
    wait_until(lambda: not drain.report().trouble, what="it is in trouble no more")
    assert drain.stop(10)


def test_a_table_that_takes_long_to_count_is_counted_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "LOOK_S", 0.0)
    monkeypatch.setattr(drain_module, "LOOK_SHARE", 1e-6)
    statements: list[str] = []

    def counted(sql: str) -> Sequence[Sequence[Any]]:
        statements.append(sql)
        return [[0]] if "COUNT" in sql else []

    database = Database()
    database.answer = counted
    drain = drain_of(database)
    drain.start()
    for _ in range(5):
        assert drain.wait_until_empty(WAIT_S)
    assert len([sql for sql in statements if "created_ms" in sql]) == 1
    assert len([sql for sql in statements if "LENGTH(envelope), claimed_by" in sql]) >= 5
    assert drain.stop(10)


@pytest.mark.parametrize(("answer", "tried"), [(_is_away, 2), (_is_anothers, 5), (_has_a_row, 2)])
def test_commits_do_not_hurry_a_drain_that_cannot_send(
    answer: Callable[[str], Sequence[Sequence[Any]]], tried: int
) -> None:
    passes, commits = 0, 0

    def counted(sql: str) -> Sequence[Sequence[Any]]:
        nonlocal passes
        passes += "LENGTH(envelope), claimed_by" in sql
        return answer(sql)

    database = Database()
    database.answer = counted
    drain = drain_of(database, AwayQueue())
    drain.start()
    wait_until(lambda: passes >= tried, what="it has tried a few times")
    before, begun = passes, time.monotonic()
    while passes < before + 2:
        drain.wake()
        commits += 1
        time.sleep(0)  # the drain's thread may run
        assert time.monotonic() < begun + WAIT_S
    assert commits > 100, "it takes its time over two more"
    assert drain.stop(10)


def test_no_commit_suffers_where_there_is_no_thread_and_the_next_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_thread(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    database = Database()
    database.answer = lambda sql: [[0]] if "COUNT" in sql else []
    drain, before = drain_of(database), len(supervised())
    with monkeypatch.context() as starved:
        starved.setattr(Thread, "start", no_thread)
        for _ in range(2):
            drain.wake()
        assert not drain.runs
        begun = time.monotonic()
        assert not drain.wait_until_empty(WAIT_S) and time.monotonic() < begun + WAIT_S / 2
        assert len(supervised()) == before, "what was not started does not count as running"
    assert caplog.text.count("bridge.outbox.stalled database=sqlite:///shop: can't start new thread") == 1
    drain.wake()
    assert drain.runs and drain.wait_until_empty(WAIT_S)
    assert drain.stop(10)
