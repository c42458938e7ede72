"""``Drains``: the outboxes that a process drains: so many at once, and each for as long as its database is in use."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress

from bridge.model.plain_text import plain_logger
from bridge.producer.lifetime import EMITTERS
from bridge.producer.outbox.drain import Drain

logger = plain_logger(__name__)

DRAINS_MAX = 32
"""Outboxes that are drained at once, each by a thread and a connection of its own; more than that take turns."""


class Drains:
    """Safe with threads. A drain runs, or it rests: then it has no thread and no connection, and nothing to send."""

    def __init__(self) -> None:
        self._all: dict[Hashable, Drain] = {}
        self._next: deque[Drain] = deque()  # that are to run as soon as another rests
        self._lock = threading.RLock()
        self._closed = self._told = False

    def __iter__(self) -> Iterator[Drain]:
        """Those that do not rest."""
        return iter([drain for drain in [*self._all.values()] if not drain.rests])

    def of(self, key: Hashable, make: Callable[[], Drain]) -> Drain:
        """The drain of a database, which is made when it is first asked for."""
        found = self._all.get(key)
        if found is None:
            with EMITTERS.lock(), self._lock:
                found = self._all.get(key) or self._all.setdefault(key, make())
        return found

    def begin(self, drain: Drain) -> None:
        """Have it run, or have it run next; nothing if it does, or if all have stopped.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        with self._lock:
            if self._closed or drain in self._next:
                return
            self._all = {key: one for key, one in self._all.items() if one.runs or not one.is_left}
            running = [one for one in self._all.values() if one.runs and one is not drain]
            if len(running) < DRAINS_MAX:
                drain.start()
                return
            self._next.append(drain)
            self._tell()
        idle = [one for one in running if one.is_idle]
        if idle:
            min(idle, key=lambda one: one.used_at).look_up()

    def may_rest(self, drain: Drain) -> bool:
        """Whether one that has nothing to send makes room, or is not needed any more."""
        return bool(self._next) or drain.is_left

    def note_rest(self) -> None:
        """One has ended; the next begins."""
        with self._lock:
            self._next = deque(one for one in self._next if not one.is_left)
            if self._next and not self._closed:
                with suppress(RuntimeError):  # out of threads: whoever commits there tries again
                    self.begin(self._next.popleft())

    def close(self) -> list[Drain]:
        """None begins any more; returns all that run."""
        with self._lock:
            self._closed = True
            self._next.clear()
            return [*self]

    def abandon(self) -> None:
        """In a forked child: they are the parent's. Takes no lock: a thread that is not here may hold it."""
        self._closed = True

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            logger.warning(
                "bridge.outbox.crowded: this process uses more than %d outboxes, which now take turns: one that is not "
                "drained is not looked at until something is committed there. Make an engine once a process.",
                DRAINS_MAX,
            )
