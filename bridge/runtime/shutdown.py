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

    Chains the handlers that are there and puts them back. Does nothing outside the main thread, or where
    a signal is not handled: then it ends the process by itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    chained = {}
    for number in SIGNALS:
        before = signal.getsignal(number)
        if callable(before):
            ours = _chain(loop, act, before)
            signal.signal(number, ours)
            chained[number] = (ours, before)
    try:
        yield
    finally:
        for number, (ours, before) in chained.items():
            if signal.getsignal(number) is ours:
                signal.signal(number, before)


def _chain(
    loop: asyncio.AbstractEventLoop, act: Callable[[], None], before: Callable[[int, FrameType | None], object]
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        """Have the loop act soon, and let the handler before do what it does."""
        loop.call_soon_threadsafe(act)
        before(number, frame)

    return handle
