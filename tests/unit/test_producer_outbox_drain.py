"""The thread that sends what waits in an outbox, over a database that a test speaks for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any

from bridge.catalogs.finance import REGISTRY
from bridge.producer.outbox.drain import Drain
from bridge.producer.sender import Progress
from bridge.settings import ProducerSettings, Settings
from bridge.testing.state import ManualClock, State
from bridge.testing.task_queue import MemoryQueue
from tests.support.waiting import wait_until

NOW_MS = 1_800_000_000_000


class Database:
    """Answers each statement by ``answer``."""

    dialect = "sqlite"
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


def test_a_database_that_is_back_is_in_no_trouble_while_another_process_sends() -> None:
    database = Database()
    drain = Drain(
        database,
        MemoryQueue(State(Settings(), ManualClock())),
        settings=ProducerSettings(),
        registry=REGISTRY,
        owner="me",
        progress=Progress(),
    )
    drain.start()
    wait_until(lambda: drain.report().trouble, what="it is in trouble")
    database.answer = _is_anothers
    wait_until(lambda: not drain.report().trouble, what="it is in trouble no more")
    assert drain.stop(10)
