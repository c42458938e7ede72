"""Asking an application's code about a client: bounded in time and in number, and whatever it raises is an answer."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from bridge.catalogs.loading import raised_at
from bridge.model.plain_text import plain_logger

logger = plain_logger(__name__)

ASKING_MAX = 10_000
"""Questions of one kind at a time, those included that are never answered."""
THREADS_MAX = 32
"""Threads that run an application's sync functions at a time, those included that never come back."""

_thread_endings: set[Callable[[], object]] = set()
"""What each thread that has asked runs at its end; a set, so that who says it twice has it once."""


def at_thread_end(ending: Callable[[], object]) -> None:
    """From now on each thread runs this after its question, whatever came of that: to give back what is a thread's own.

    For frameworks that keep something for each thread, such as Django its connections. Idempotent.
    """
    _thread_endings.add(ending)


def _end_thread() -> None:
    for ending in tuple(_thread_endings):
        try:
            ending()
        except BaseException as error:  # the question is answered all the same
            logger.error("bridge.gateway.thread_end_failed: %s.", Failure.of(error).why)


class Failure:
    """What came in place of an answer; ``why`` is half a sentence without anything of the application's own words."""

    __slots__ = ("error", "why")

    def __init__(self, why: str, error: BaseException | None = None) -> None:
        self.why = why
        self.error = error

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """That something was raised: its class, and where; its text may hold what must not be in a log."""
        return cls(f"it raised {type(error).__name__} {raised_at(error)}".rstrip(), error)


class Questions:
    """Questions of one kind, and which of them wait for an answer."""

    def __init__(self) -> None:
        self._asking: set[asyncio.Task[Any]] = set()
        self._threads = asyncio.Semaphore(THREADS_MAX)

    async def ask(self, within_s: float, question: Callable[..., Any], *arguments: object) -> object:
        """What a function returns, or its Failure: it raised, it took longer, or too many wait already."""
        if len(self._asking) >= ASKING_MAX:
            return Failure(f"it has not answered {ASKING_MAX} requests yet")
        # A task of its own, because it may not end when it is cancelled.
        task = asyncio.create_task(_outcome(self._call(question, *arguments)))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        try:
            await asyncio.wait({task}, timeout=within_s)
        finally:
            task.cancel()
        return task.result() if task.done() else Failure(f"it took longer than {within_s:g} s")

    async def _call(self, question: Callable[..., Any], *arguments: object) -> object:
        if inspect.iscoroutinefunction(question):
            return await question(*arguments)
        answer = await self._in_thread(question, *arguments)
        return await answer if inspect.isawaitable(answer) else answer

    async def _in_thread(self, question: Callable[..., Any], *arguments: object) -> object:
        """Run what may block. A daemon each: a pool's threads would be waited for when the process ends."""
        await self._threads.acquire()
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        answered: asyncio.Future[object] = loop.create_future()

        def answer(outcome: object) -> None:
            self._threads.release()
            if not answered.done():
                answered.set_result(outcome)

        def run() -> None:
            try:
                outcome = context.run(question, *arguments)
            except BaseException as error:
                outcome = Failure.of(error)
            _end_thread()  # first: as many hold something as threads may run
            with suppress(RuntimeError):  # the gateway has ended meanwhile
                loop.call_soon_threadsafe(answer, outcome)

        try:
            threading.Thread(target=run, name="bridge-gateway-question", daemon=True).start()
        except RuntimeError:
            self._threads.release()
            raise
        return await answered


async def _outcome(asked: Coroutine[Any, Any, object]) -> object:
    """What an application's code returned or raised, whatever that is: an exit must not end the gateway."""
    try:
        return await asked
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Failure.of(error)
