"""Hearing of the end in time: servers wait for open connections before they tell the application."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def heard_signals(act: Callable[[], None]) -> Iterator[None]:
    """Run ``act`` on the event loop when this process is asked to end, before the server's own handler.

    Chains the handlers that are there and puts them back, in whatever order several of these end. Does nothing outside
    the main thread, or where a signal is not handled: then it ends the process by itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = (asyncio.get_running_loop(), act)
    joined = [(number, handler) for number in SIGNALS if (handler := _Handler.of(number))]
    for _, handler in joined:
        handler.heard.append(heard)
    try:
        yield
    finally:
        for number, handler in joined:
            handler.leave(number, heard)


class _Handler:
    """Handles a signal for all who hear it, and then as it was handled before."""

    def __init__(self, before: Callable[[int, FrameType | None], object]) -> None:
        self.heard: list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = []
        self._before = before

    @classmethod
    def of(cls, number: int) -> "_Handler | None":
        """The one that handles a signal now, or a new one; None where the signal is not handled."""
        before = signal.getsignal(number)
        if isinstance(before, _Handler):
            return before
        if not callable(before):
            return None
        handler = cls(before)
        signal.signal(number, handler)
        return handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for loop, act in tuple(self.heard):
            loop.call_soon_threadsafe(act)
        self._before(number, frame)

    def leave(self, number: int, heard: tuple[asyncio.AbstractEventLoop, Callable[[], None]]) -> None:
        """Somebody hears it no more; after the last, it is handled as before, unless another has come on top."""
        self.heard.remove(heard)
        is_on_top = signal.getsignal(number) is self
        if is_on_top and not self.heard:
            signal.signal(number, self._before)
