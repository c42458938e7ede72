"""The prefork pool, but for a lock: its main process never waits for one that a dead process took with it."""

from contextlib import nullcontext
from typing import Any

from celery.concurrency import prefork
from celery.concurrency.asynpool import AsynPool


class UnlockedCounter:
    """How many results of a process were read: written by the main process alone, read by that process alone.

    billiard guards it by a lock that both take. A process that is killed while it has the lock leaves it locked, and
    the main process, should it read a last result of it, waits for ever. An aligned integer needs no lock.
    """

    def __init__(self, synchronized: Any) -> None:
        self._number = synchronized.get_obj()

    @property
    def value(self) -> int:
        """The number."""
        return int(self._number.value)

    @value.setter
    def value(self, number: int) -> None:
        self._number.value = number

    def get_lock(self) -> nullcontext[None]:
        """No lock."""
        return nullcontext()


class Pool(AsynPool):
    """Celery's pool of processes that share an event loop with the worker."""

    def _create_worker_process(self, i: int) -> Any:
        process = super()._create_worker_process(i)
        # The process has been forked: it keeps the counter that it was given, on the same memory.
        self._on_ready_counters[process.pid] = UnlockedCounter(self._on_ready_counters[process.pid])
        return process


class TaskPool(prefork.TaskPool):
    """What ``worker_pool`` names."""

    Pool = Pool
