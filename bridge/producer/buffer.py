"""``Buffer``: accepted events in memory, in order and bounded; putting one in takes no lock."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from bridge.model.plain_text import plain_logger
from bridge.producer.batching import Accepted, Entry
from bridge.producer.sender import Progress

logger = plain_logger(__name__)

ROUND_MAX = 5_000
"""Events that are sent or spooled in one write at most."""
WARM_S = 0.1
"""How long the buffer is looked at after it was last found with something in it, before its thread sleeps."""


class Buffer:
    """Any thread puts in; one thread takes out.

    While events keep coming, that thread looks by itself, every ``linger_s``; only when it sleeps is it woken.

    Args:
        most: entries at most.
        linger_s: pause between two looks, so that events gather.
        enough: entries for which nothing need gather any more.
        progress: progress of the process; it says when to close.
        attend: starts the thread that takes out; whether it runs then.

    Attributes:
        closing: whether it takes no more.
    """

    def __init__(
        self, most: int, *, linger_s: float, enough: int, progress: Progress, attend: Callable[[], bool]
    ) -> None:
        # Appending is atomic; nothing but that and _front is done without the lock.
        self._entries: deque[Entry] = deque()
        self._most = most
        self._linger_s = linger_s
        self._enough = enough
        self._progress = progress
        self._attend = attend
        self.closing = False
        self._attended = False
        self._asleep = False
        self._taken = 0

    def __len__(self) -> int:
        """Entries that were not taken out."""
        return len(self._entries)

    @property
    def accepted(self) -> int:
        """Entries that were ever put in."""
        return self._taken + len(self._entries)

    # On the caller's thread

    def put(self, entry: Entry) -> bool:
        """Accept one event if there is room; returns whether it was accepted."""
        if self.closing or len(self._entries) >= self._most:
            return False
        self._entries.append(entry)
        if self._asleep or not self._attended:
            self._rouse()
        return not self.closing or not self._withdraw((entry,))

    def put_many(self, entries: Sequence[Entry]) -> int:
        """Accept events, in order and together, as far as there is room; returns how many.

        Threads that put at the same moment may find room for a few events more than the bound.
        """
        fitting = entries[: max(0, self._most - len(self._entries))]
        if self.closing or not fitting:
            return 0
        self._entries.extend(fitting)
        if self._asleep or not self._attended:
            self._rouse()
        return len(fitting) - (self._withdraw(fitting) if self.closing else 0)

    def _rouse(self) -> None:
        """Have the buffer emptied."""
        if not self._attended:
            self._attended = self._attend()
        with self._progress.changed:
            self._progress.changed.notify_all()

    def _withdraw(self, entries: Sequence[Entry]) -> int:
        """Take back what was put in while the process closed; what is gone was seen by whoever closed it."""
        withdrawn = 0
        with self._progress.changed:
            for entry in entries:
                try:
                    self._entries.remove(entry)
                    withdrawn += 1
                except ValueError:
                    continue
        return withdrawn

    # On the thread that takes out

    def empty(self, carry: Callable[[Sequence[Accepted]], int]) -> None:
        """Carry away what is in it, round by round, until the process closes. It stays there until it is carried.

        ``carry`` takes the oldest events somewhere else, and returns how many it took.
        """
        while round_ := self._next_round():
            written = self.written(round_)
            if written:
                self.take_out(carry(written))

    def take_out(self, number: int) -> None:
        """Forget the oldest entries."""
        with self._progress.changed:
            for _ in range(min(number, len(self._entries))):
                self._entries.popleft()
                self._taken += 1
            self._progress.changed.notify_all()

    def front(self, most: int | None) -> list[Entry]:
        """A copy of the oldest entries. Only the thread that takes out takes any out meanwhile."""
        while True:
            try:
                return list(islice(self._entries, most))
            except RuntimeError:
                continue  # somebody put one in between the two calls, which ends an iteration of a deque

    def written(self, entries: Sequence[Entry]) -> list[Accepted]:
        """Write the oldest entries. One that cannot be serialized is dropped and counted as abandoned."""
        written: list[Accepted] = []
        for entry in entries:
            try:
                written.append(entry.accepted())
            except MemoryError:
                raise  # another time it may be written
            except Exception as error:  # none is known that was accepted, but to be wrong must not cost the others
                self._drop(entry, error)
        return written

    def close(self) -> None:
        """Take no more, and have whoever waits for something know it."""
        with self._progress.changed:
            self.closing = self._progress.closing = True
            self._progress.changed.notify_all()

    def clear(self) -> int:
        """Forget all entries; returns how many there were."""
        with self._progress.changed:
            number = len(self._entries)
            self._taken += number
            self._entries.clear()
        return number

    def _drop(self, entry: Entry, error: Exception) -> None:
        with self._progress.changed:
            self._entries.remove(entry)
            self._taken += 1
            self._progress.note_abandoned(1)
        logger.error(
            "bridge.emitter.abandoned events=1: an event of %s could not be written as JSON after it was accepted "
            "(%s). Please report this.",
            entry.route.task,
            type(error).__name__,
        )

    def _next_round(self) -> list[Entry]:
        """Wait for events; none if the process closes."""
        sleep_at = time.monotonic() + WARM_S
        while not self.closing:
            if len(self._entries) < self._enough:
                time.sleep(self._linger_s)
            if not self._entries and time.monotonic() > sleep_at:
                self._sleep()
            if self._entries and not self.closing:
                return self.front(ROUND_MAX)
        return []

    def _sleep(self) -> None:
        """Until somebody puts an event in, or closes."""
        # Who appends looks at this afterwards, and we look at the buffer afterwards: one of us sees the other.
        self._asleep = True
        self._progress.wait(lambda: self._entries, None)
        self._asleep = False
