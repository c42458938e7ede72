"""``State``: what the twins of one store share: time and trouble on demand, the accounting, and where each event is."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from inspect import iscoroutinefunction, isfunction
from threading import RLock
from typing import Any, ClassVar
from uuid import UUID

import msgspec

from bridge.model.accounting import Balance
from bridge.model.dead_letter import DeadLetter, Tombstone
from bridge.model.errors import OutsideError, StoreRefusedError, StoreUnavailableError
from bridge.model.retry import RetryRecord
from bridge.model.withdrawal import Withdrawal
from bridge.settings import WorkerSettings

START_S = 1_800_000_000.0
ITEMS_MAX = 200_000
"""Marks, retries, letters and open messages that a store holds together: a test that needs more has a leak."""


class ManualClock:
    """A clock that stands. Satisfies ``bridge.ports.Clock``.

    Args:
        now_s: seconds since the epoch at which it stands first.
    """

    def __init__(self, now_s: float = START_S) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return self._now_s

    def now_ms(self) -> int:
        """The same in whole milliseconds."""
        return int(self._now_s * 1000)

    def now(self) -> datetime:
        """The same as a UTC time."""
        return datetime.fromtimestamp(self._now_s, UTC)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, which may be none and a fraction.

        Raises:
            ValueError: it would run backwards.
        """
        if seconds < 0:
            raise ValueError(f"Time does not pass by {seconds} s.")
        self._now_s += seconds


class Faults:
    """What goes wrong from now on. Right at first.

    Attributes:
        calls: how many calls the twins were asked for so far.
        lock: held in each call, of whatever thread; of all the twins of one state the same.
    """

    def __init__(self, lock: "RLock | None" = None) -> None:
        self.calls = 0
        self.lock = lock or RLock()
        self._trouble: OutsideError | None = None
        self._answers_lost = self._answers_left = 0
        self._within = False

    def go_away(self) -> None:
        """Every call raises StoreUnavailableError and does nothing, until ``mend``."""
        said = "It is away, as the test asked."
        self._trouble = StoreUnavailableError(said, code="ConnectionError", undone=True)

    def refuse(self) -> None:
        """Every call raises StoreRefusedError and does nothing, until ``mend``."""
        self._trouble = StoreRefusedError("It refuses, as the test asked.", code="NOPERM")

    def lose_answers(self, number: int = 1, *, after: int = 0) -> None:
        """So many calls do what they are asked for, and raise StoreUnavailableError all the same.

        Args:
            number: of answers that are lost.
            after: so many calls that are answered.
        """
        self._answers_lost, self._answers_left = number, after

    def mend(self) -> None:
        """Nothing goes wrong from now on."""
        self._trouble, self._answers_lost, self._answers_left = None, 0, 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around everything that a twin does.

        Raises:
            StoreError: a test asked for it.
        """
        with self.lock:
            if self._within:  # one part of a twin asks another: to whoever asked it is one call
                yield
            else:
                with self._outer_call():
                    yield

    @contextmanager
    def _outer_call(self) -> Iterator[None]:
        self.calls += 1
        if self._trouble is not None:
            raise self._trouble
        self._within = True
        try:
            yield
        finally:
            self._within = False
        if self._answers_lost and self._answers_left:
            self._answers_left -= 1
        elif self._answers_lost:
            self._answers_lost -= 1
            raise StoreUnavailableError("The answer was lost, as the test asked.", code="TimeoutError")


@dataclass(slots=True)
class OpenRecord:
    """A message on its way; ``event_ids`` are its events that have not ended."""

    task: str
    queue: str
    accepted_ms: int
    event_ids: list[str]


@dataclass(slots=True)
class Waiting:
    """A retry, when it is due, and whether somebody has taken it."""

    record: RetryRecord
    due_ms: float
    taken: bool = False


@dataclass(slots=True)
class Buried:
    """A letter, when it was dead-lettered, and how many events it stands for."""

    letter: DeadLetter
    at_ms: int
    events: int = 1

    @property
    def size(self) -> int:
        """Bytes, as JSON."""
        return len(msgspec.json.encode(self.letter))


@dataclass(slots=True)
class State:
    """Everything that is kept, in one process."""

    settings: WorkerSettings  # bounds and times
    clock: ManualClock  # source of the time
    faults: Faults = field(default_factory=Faults)  # what goes wrong
    counts: Counter[str] = field(default_factory=Counter)  # what happened → how often
    metrics: Counter[str] = field(default_factory=Counter)  # numbers by name
    open: dict[str, OpenRecord] = field(default_factory=dict)  # messages on their way
    # Messages that no producer had announced → until when, in ms, that is remembered.
    booked: dict[str, int] = field(default_factory=dict)
    retries: dict[str, Waiting] = field(default_factory=dict)  # by event id
    letters: dict[str, Buried] = field(default_factory=dict)  # by letter id, in no order
    # Place (``retry``, ``dead``) and id of late failures: another run had ended the event.
    strays: set[tuple[str, str]] = field(default_factory=set)
    # What is left of discarded letters, and since when, in ms.
    tombstones: dict[str, tuple[Tombstone, int]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)  # what had no recipient → when, in ms
    in_redrive: dict[str, str] = field(default_factory=dict)  # letters in flight in a redrive → which
    # Owner and event id of what was published → position, and until when, in ms, that is remembered.
    marks: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)

    withdrawn: dict[str, Withdrawal] = field(default_factory=dict)  # who was disconnected, the latest last

    def balance(self) -> Balance:
        """The accounting at this moment."""
        return Balance.of(self.counts, retrying=len(self.retries), letters=len(self.letters))

    def ensure_room(self) -> None:
        """Call it before anything is written.

        Raises:
            StoreUnavailableError: the store is full, as a Redis would be.
        """
        if len(self.marks) + len(self.open) + len(self.retries) + len(self.letters) + len(self.booked) >= ITEMS_MAX:
            raise StoreUnavailableError("The store is full.", code="OOM")

    # Where an event is: exactly one place at a time; whoever takes it out says how it ended

    def enter(self, message_id: str, task: str, queue: str, event_ids: Sequence[str]) -> bool:
        """Account for a message as accepted; returns whether that is news."""
        if message_id in self.open:
            return False
        self.open[message_id] = OpenRecord(task, queue, self.clock.now_ms(), list(event_ids))
        self.counts["accepted"] += len(event_ids)
        self.counts["open"] += len(event_ids)
        return True

    def put_back(self, message_id: str, task: str, queue: str, event_ids: bytes) -> int:
        """Events of a quarantined message are on their way again; how many. Without an id they are elsewhere."""
        names = id_texts(event_ids) if message_id else []
        if names:
            self.open.setdefault(message_id, OpenRecord(task, queue, self.clock.now_ms(), [])).event_ids += names
            self.counts["open"] += len(names)
        return len(names)

    def has_open(self, message_id: str, event_id: str) -> bool:
        """Whether an event is on its way with a message."""
        return message_id in self.open and event_id in self.open[message_id].event_ids

    def take_open(self, message_id: str, event_id: str) -> bool:
        """Take an event out of its message; returns whether it was there."""
        if not self.has_open(message_id, event_id):
            return False
        record = self.open[message_id]
        record.event_ids.remove(event_id)
        self.counts["open"] -= 1
        if not record.event_ids:
            del self.open[message_id]
        return True

    def take_all_open(self, message_id: str) -> int:
        """Take everything out of a message; returns how many events there were."""
        record = self.open.pop(message_id, None)
        events = len(record.event_ids) if record else 0
        self.counts["open"] -= events
        return events

    def take_retry(self, event_id: str) -> bool:
        """Take an event out of the retry set; returns whether it was there."""
        return self.retries.pop(event_id, None) is not None

    def take_letter(self, letter_id: str) -> Buried | None:
        """Take a letter out; None if there is none."""
        return self.letters.pop(letter_id, None)

    def add_stray(self, place: str, event_id: str) -> None:
        """Note an event that failed after another run had ended it."""
        if (place, event_id) not in self.strays:
            self.strays.add((place, event_id))
            self.counts["stray"] += 1

    def end_stray(self, place: str, event_id: str) -> bool:
        """Returns whether there was one."""
        if (place, event_id) not in self.strays:
            return False
        self.strays.remove((place, event_id))
        self.counts["stray"] -= 1
        return True


class Twin:
    """A part of the store: each call of a public method goes through the state's faults, but for the ``QUIET`` ones."""

    QUIET: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, state: State) -> None:
        self._state = state

    def __init_subclass__(cls) -> None:
        for name, method in list(vars(cls).items()):
            if isfunction(method) and not name.startswith("_") and name not in cls.QUIET:
                setattr(cls, name, _awaited(method) if iscoroutinefunction(method) else _called(method))


def _called(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Twin, *args: Any, **kwargs: Any) -> Any:
        with self._state.faults.call():
            return method(self, *args, **kwargs)

    return call


def _awaited(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def call(self: Twin, *args: Any, **kwargs: Any) -> Any:
        with self._state.faults.call():
            return await method(self, *args, **kwargs)

    return call


def id_texts(event_ids: bytes) -> list[str]:
    """Ids from 16 bytes each."""
    return [str(UUID(bytes=event_ids[at : at + 16])) for at in range(0, len(event_ids), 16)]
