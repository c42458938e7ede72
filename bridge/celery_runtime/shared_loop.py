"""``SharedLoop``: a worker's event loop for one connection of the bridge, whose errors never reach the loop itself."""

from collections.abc import Callable
from functools import partial
from queue import Empty
from typing import Any

from vine import promise


class SharedLoop:
    """What a transport of kombu's joins in place of the loop.

    What is called from the loop and raises would end the connection of the team's own tasks, or the worker. Here it
    ends in ``on_error``, once. ``close`` takes out of the loop whatever was added, and nothing else.
    """

    def __init__(self, hub: Any, on_error: Callable[[Exception], None]) -> None:
        self._hub = hub
        self._on_error = on_error
        self._ticks: list[Callable[[], None]] = []
        self._timers: list[Any] = []
        self._readers: set[int] = set()
        self._closed = False

    @property
    def poller(self) -> Any:
        """The loop's own."""
        return self._hub.poller

    @property
    def on_tick(self) -> "SharedLoop":
        """What has ``add``, as the loop's set of callbacks has."""
        return self

    def add(self, callback: Callable[[], Any]) -> None:
        """Call it at each turn of the loop."""
        tick = partial(self.run, callback)
        self._ticks.append(tick)
        self._hub.on_tick.add(tick)

    def add_reader(self, file: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call it when there is something to read."""
        self._hub.add_reader(file, self.run, callback, *args)
        self._readers.add(_number(file))

    def remove(self, file: Any) -> None:
        """Watch a file no more."""
        self._readers.discard(_number(file))
        self._hub.remove(file)

    remove_reader = remove

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call it at the next turn, also after ``close``: it may acknowledge."""
        return self._hub.call_soon(promise(self.run, (callback, *args)))

    def call_repeatedly(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Call it every so often."""
        entry = self._hub.call_repeatedly(delay_s, self.run, callback, *args)
        self._timers.append(entry)
        return entry

    def run(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call it, and take care of what it raises."""
        try:
            callback(*args)
        except Empty:  # nothing was read
            return
        except MemoryError:
            raise
        except Exception as error:
            if not self._closed:
                self._on_error(error)

    def close(self) -> None:
        """Leave the loop. Idempotent."""
        self._closed = True
        self._hub.on_tick.difference_update(self._ticks)
        for entry in self._timers:
            entry.cancel()
        for file in self._readers:
            # Another's file may have got its number.
            if (self._hub.readers.get(file) or (None,))[0] == self.run:
                self._hub.remove(file)
        self._ticks, self._timers, self._readers = [], [], set()


def _number(file: Any) -> int:
    return file if isinstance(file, int) else file.fileno()
