"""Celery's prefork pool, mended where processes end: no lock ends with one, none ends unseen, late, or for nothing.

And a bundle reaches its process in one go.
"""

import fcntl
from contextlib import nullcontext, suppress
from inspect import isgenerator
from time import monotonic, sleep
from typing import Any

from billiard.pool import TERMINATE
from celery.concurrency import prefork
from celery.concurrency.asynpool import AsynPool, _select

ENDS_WITHIN_S = 0.1
ENDS_LOOK_S = 0.001
"""How long a process that closed its files may take to end, and how often it is looked at meanwhile."""

BEGINS_WITHIN_S = 1.0
BEGINS_LOOK_S = 0.001
"""How long a process may take to say that it began with what it was given, and how often that is looked for."""

PIPE_BYTES = 2**20
"""What the pipe to a process holds, instead of the default: a whole bundle; as much as Linux allows."""
DEFAULT_PIPE_BYTES = 2**16
PIPES_BYTES = 2**24
"""… and all of a worker's together. Linux lets a user's pipes hold 64 MiB; beyond that each new one, of any program of
that user, is made small."""


class UnlockedCounter:
    """How many results of a process were read: written by the main process alone, read by that process alone.

    billiard guards it by a lock that both take. A process that is killed while it has the lock leaves it locked, and
    the main process, should it read a last result of it, waits forever. An aligned integer needs no lock.
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
    """Celery's pool of processes, whose results the worker's own event loop reads."""

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        """A process ends: its files close a moment before it can be asked how it ended.

        Asked too early, Celery overlooks its end, and looks again 5 s later.
        """
        deadline = monotonic() + ENDS_WITHIN_S
        while proc.exitcode is None and monotonic() < deadline:
            sleep(ENDS_LOOK_S)
        super()._event_process_exit(hub, proc)

    def flush(self) -> None:
        """Give up the jobs that no process has begun with, as the worker stops or has lost its broker.

        Celery gives up those too that a process has, as long as its word that it began lies unread. Such a job runs
        with no reader of its result; and a process waits 30 s for that before it ends, and its worker with it.
        """
        deadline = monotonic() + BEGINS_WITHIN_S
        while (given := self._given()) and monotonic() < deadline:
            for job in given:
                self._finish_giving(job)
                self._read_results(job._write_to)
            sleep(BEGINS_LOOK_S)
        super().flush()

    def _given(self) -> list[Any]:
        """The jobs that a living process was given, at least in part, and has not said to have begun with."""
        waiting = [job for job in self._cache.values() if job._write_to and not job._accepted]
        return [job for job in waiting if self._state != TERMINATE and job._write_to._is_alive()]

    def _finish_giving(self, job: Any) -> None:
        writer = job._writer()  # a weak reference
        if writer in self._active_writers and _select(writers={job._write_to.inqW_fd}, timeout=0)[1]:
            with suppress(StopIteration, OSError, EOFError):
                next(writer)

    def _on_soft_timeout(self, job: int, soft: float, hard: float, hub: Any) -> None:
        self._read_results_of(job)
        super()._on_soft_timeout(job, soft, hard, hub)

    def _on_hard_timeout(self, job: int) -> None:
        self._read_results_of(job)
        super()._on_hard_timeout(job)

    def _read_results_of(self, job: int) -> None:
        """Read what the process that runs a job has said: a loop that was held up must not punish who has finished."""
        running = self._cache.get(job)
        process = next((one for one in self._pool if running and one.pid == running._worker_pid), None)
        if process is not None and process.outqR_fd in self._result_handler._hub.readers:
            self._read_results(process)

    def _read_results(self, process: Any) -> None:
        readers, place = self._result_handler._hub.readers, process.outqR_fd
        # A generator is in the middle of a message; only the loop may go on with that.
        while not _in_a_message(readers.get(place)) and process.outq._reader.poll(0):
            self.handle_result_event(place)

    def _create_worker_process(self, i: int) -> Any:
        process = super()._create_worker_process(i)
        # The process has been forked: it keeps the counter that it was given, on the same memory.
        self._on_ready_counters[process.pid] = UnlockedCounter(self._on_ready_counters[process.pid])
        _widen(process.inqW_fd, min(PIPE_BYTES, PIPES_BYTES // self._processes))
        return process


def _in_a_message(reader: tuple[Any, Any] | None) -> bool:
    return reader is not None and isgenerator(reader[0])


def _widen(pipe: int, size_bytes: int) -> None:
    """Let a pipe hold more, where the system can; otherwise a bundle takes several turns of the loop."""
    if hasattr(fcntl, "F_SETPIPE_SZ") and size_bytes > DEFAULT_PIPE_BYTES:  # Linux
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size_bytes)


class TaskPool(prefork.TaskPool):
    """What ``worker_pool`` names. A signal may stop it at any moment, also while the worker is still starting."""

    Pool = Pool

    @property
    def num_processes(self) -> int:
        """How many there are; none once it was stopped."""
        return int(super().num_processes) if self._pool is not None else 0

    def did_start_ok(self) -> bool:
        """Whether the pool's processes could be started; a pool that was stopped counts as well."""
        return self._pool is None or bool(super().did_start_ok())
