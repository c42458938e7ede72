"""Supervision of every background thread and asyncio task of ours: nothing ends of an exception unseen.

What a supervised function raises is logged by name, counted, and the function is run again after a backoff. Its state
can be read at any moment, by whoever holds it and by ``supervised`` for the whole process.
"""

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from bridge.model.errors import OutsideError
from bridge.model.pipeline.failure import Stage, describe
from bridge.model.plain_text import plain_logger

logger = plain_logger(__name__)

BASE_S = 0.1
CAP_S = 5.0
REFUSED_S = 10.0
"""After a refusal for good: an operator may grant what is missing, and nothing that was accepted is lost."""


class Backoff:
    """Exponential, with jitter between half and whole, so that a fleet does not return at one moment."""

    def __init__(self) -> None:
        self.failures = 0

    def next_s(self, *, refused: bool = False) -> float:
        """Seconds to wait after one more failure; ``refused`` if nothing changes until an operator changes it."""
        ceiling_s = REFUSED_S if refused else min(CAP_S, BASE_S * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return ceiling_s * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)


class OnceAKind:
    """Logs the trouble of a server once a kind, which its code tells, however long it lasts."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._said = ""

    def log(self, error: OutsideError, event: str, level: int = logging.WARNING) -> None:
        """Say it, if it was not said last; ``event`` is the name of the log line."""
        if error.code != self._said:
            self._logger.log(level, f"{event}: %s", error)
        self._said = error.code

    def over(self) -> None:
        """It has ended: the next is said again, of whatever kind it is."""
        self._said = ""


STABLE_S = 30.0
"""A function that ran for so long without an exception starts again with the shortest backoff."""
RECENT_S = 15.0
"""A failure within so many seconds counts as trouble, also if the function runs again."""
CANCEL_EVERY_S = 0.05
"""A task that is to end and does not is told again."""


class Supervised(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one supervised thread or task at one moment; can be written as JSON."""

    name: str
    running: bool  # whether its function runs; otherwise it waits for its restart, or is done
    restarts: int = 0  # how often it was run again after an exception
    error: str = ""  # class of the last exception; empty if there was none
    failed_age_s: float = 0.0  # since that exception, in seconds; 0 if there was none
    since_s: float = 0.0  # how long ``running`` has been what it is, in seconds

    @property
    def in_trouble(self) -> bool:
        """Whether the thread stands still because of an exception, or raised one within ``RECENT_S``."""
        return bool(self.error) and (not self.running or self.failed_age_s < RECENT_S)


class _Record:
    """What happened to one supervised function. Written by its own thread or task only."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self._clock = clock
        self._backoff = Backoff()
        self._running = False
        self._restarts = 0
        self._error = ""
        self._failed_at = self._since = clock()
        self._pid = os.getpid()

    def note_start(self, *, again: bool = False) -> None:
        """It is run, or run again."""
        self._restarts += again
        self._running, self._since = True, self._clock()
        _records[id(self)] = self

    def note_end(self) -> None:
        """It returned: it is done, and no longer among the process's threads and tasks."""
        self._running, self._since = False, self._clock()
        _records.pop(id(self), None)

    def note_failure(self, error: BaseException, event: str) -> float:
        """It raised; returns the seconds to wait before it is run again. Never raises."""
        now = self._clock()
        if now - self._since >= STABLE_S:
            self._backoff = Backoff()
        self._error, self._failed_at = type(error).__name__, now
        self._running, self._since = False, now
        with suppress(Exception):  # a log handler of the application may raise; what is supervised must go on
            _log(event, self.name, error, restarts=self._restarts)
        return self._backoff.next_s()

    def state(self) -> Supervised:
        """The present state; in a forked child nothing of the parent's runs."""
        now = self._clock()
        return Supervised(
            name=self.name,
            running=self._running and self._pid == os.getpid(),
            restarts=self._restarts,
            error=self._error,
            failed_age_s=round(now - self._failed_at, 3) if self._error else 0.0,
            since_s=round(now - self._since, 3),
        )

    @property
    def is_ours(self) -> bool:
        """Whether this process started the thread, rather than the process from which it was forked."""
        return self._pid == os.getpid()


_records: dict[int, _Record] = {}
"""All that are not done. No lock guards it, which a fork could leave held: each use is one step of the interpreter."""


def supervised() -> tuple[Supervised, ...]:
    """The threads and tasks of this process that are not done, by name."""
    states = (record.state() for record in list(_records.values()) if record.is_ours)
    return tuple(sorted(states, key=lambda state: state.name))


def _log(event: str, name: str, error: BaseException, *, restarts: int) -> None:
    """Say what was raised and where, on one line; the way there only at level DEBUG."""
    failure = describe(error, Stage.WORKER, with_traceback=True)
    told = (event, name, restarts, _place_of(error), failure.error_class, " ".join(failure.message.split()))
    logger.error("%s name=%s restarts=%d at=%s: %s: %s", *told)
    logger.debug("%s name=%s\n%s", event, name, failure.traceback)


def _place_of(error: BaseException) -> str:
    """The innermost place of the code that raised, as ``file:line``."""
    trace = error.__traceback__
    if trace is None:
        return "?"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


class SupervisedThread:
    """One daemon thread that runs a function until it returns, again after each exception (``SystemExit`` too).

    Guaranteed: an exception never ends the thread, whatever it is; it is logged as ``bridge.thread.failed``, counted in
    ``state``, and the function is run again after a backoff of at most ``CAP_S``. A function that returns is done.
    ``stop`` ends a waiting backoff at once. Nothing is imported on the thread. A forked child has no thread: there
    ``is_alive`` is False, and ``start`` may be called again.

    Args:
        run: the function; it must return soon when ``stopping`` is set, or when its owner tells it otherwise.
        name: name of the thread, as logs, reports and debuggers show it.
        once: do not run it again after an exception.
        clock: monotonic, in s.
    """

    def __init__(
        self, run: Callable[[], object], *, name: str, once: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._run = run
        self._once = once
        self._clock = clock
        self._record = _Record(name, clock)
        self._pid = self._starting = 0
        self._thread: threading.Thread | None = None
        self.stopping = threading.Event()

    def start(self) -> None:
        """Start the thread, unless it lives.

        Raises:
            RuntimeError: the system has no thread to give, or the interpreter is ending.
        """
        pid = os.getpid()
        if self._starting == pid:  # a signal handler, or a finalizer, came in the middle of it
            return
        self._starting = pid  # no call in between, so that nothing can come there
        try:
            if not self.is_alive():
                self._start(pid)
        finally:
            self._starting = 0

    def _start(self, pid: int) -> None:
        thread = threading.Thread(target=self._supervise, name=self.name, daemon=True)
        if self._pid and self._pid != pid:
            self._record, self.stopping = _Record(self.name, self._clock), threading.Event()
        self._pid = pid
        self._record.note_start()
        try:
            thread.start()
        except BaseException:
            self._record.note_end()  # or it would count as running for good
            raise
        self._thread = thread

    def stop(self, timeout_s: float) -> bool:
        """Have it end, and wait for that up to ``timeout_s`` seconds. Idempotent; returns whether it has ended."""
        self.stopping.set()
        return self.join(timeout_s)

    def join(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` seconds for the function to return; whether it has."""
        if self.is_alive() and self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self.is_alive()

    def is_alive(self) -> bool:
        """Whether the thread runs its function, or will again; never after a fork, which leaves the thread behind."""
        return self._thread is not None and self._pid == os.getpid() and self._thread.is_alive()

    @property
    def state(self) -> Supervised:
        """The present state."""
        return self._record.state()

    def _supervise(self) -> None:
        while True:
            try:
                self._run()
            except BaseException as error:  # SystemExit from foreign code would end the thread without a word
                wait_s = self._record.note_failure(error, "bridge.thread.failed")
            else:
                break
            if self._once or self.stopping.wait(wait_s):
                break
            self._record.note_start(again=True)
        self._record.note_end()


class SupervisedTask:
    """One asyncio task that runs a coroutine function until it returns, again after each exception.

    Guaranteed: only ``stop``, or a cancellation from outside (the loop ends), ends it; what is raised is logged as
    ``bridge.task.failed``, counted in ``state``, and the function is run again after a backoff of at most ``CAP_S``.
    A ``CancelledError`` that was not requested counts as a failure. A function that returns is done.
    """

    def __init__(
        self, run: Callable[[], Awaitable[object]], *, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._run = run
        self._record = _Record(name, clock)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it in the running loop, unless it runs."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._supervise(), name=self.name)

    async def stop(self) -> None:
        """Cancel it until it has ended. Idempotent; raises nothing of what it raised."""
        if self._task is not None:
            await end_tasks(self._task)

    def done(self) -> bool:
        """Whether the task has ended, or was never started."""
        return self._task is None or self._task.done()

    @property
    def state(self) -> Supervised:
        """The present state."""
        return self._record.state()

    async def _supervise(self) -> None:
        try:
            self._record.note_start()
            while True:
                try:
                    await self._run()
                except (Exception, asyncio.CancelledError) as error:
                    if _is_cancelled():
                        raise
                    wait_s = self._record.note_failure(error, "bridge.task.failed")
                else:
                    return
                await asyncio.sleep(wait_s)
                self._record.note_start(again=True)
        finally:
            self._record.note_end()


def _is_cancelled() -> bool:
    """Whether somebody asked the present task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end_tasks(*tasks: "asyncio.Task[object]") -> None:
    """Cancel tasks until they have ended; what they raise is dropped.

    Once is not enough: before Python 3.12 ``asyncio.wait_for``, through which redis-py sends, forgets a
    cancellation that comes in the moment when it is done. A hub that waited for such a task was deaf for good, and
    a reading that went on after its client was closed left a connection open.
    """
    pending: Iterable[asyncio.Task[object]] = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_EVERY_S)
    await asyncio.gather(*tasks, return_exceptions=True)
