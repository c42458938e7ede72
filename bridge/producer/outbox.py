"""``Outbox``: accepted events on their way to the broker: a bounded buffer, and the threads that empty it.

Putting an event in takes no lock, and wakes nobody while events keep coming: then the thread that empties
the buffer looks by itself, every ``emit_linger_ms``. Only one that sleeps is woken, and sends at once.

Without a spool one thread sends what the buffer holds. With one, that thread writes to the spool, and a
second one sends what the spool holds: so events are on disk while the broker makes the sender wait.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.backoff import Backoff
from bridge.broker import TaskSender
from bridge.errors import BrokerRefusedError, SpoolError
from bridge.producer.batching import Accepted, BatchLimits, Entry, batch
from bridge.producer.reporter import Reporter
from bridge.registry import Registry
from bridge.settings import Settings
from bridge.topology import topology

if TYPE_CHECKING:
    from bridge.producer.spool import Spool

logger = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 1.0
"""How long ``close`` waits for a write that is under way."""
ROUND_MAX = 5_000
"""Events that are sent or spooled in one write at the most."""
WARM_S = 0.1
"""How long the buffer is looked at after it was last found with something in it, before its thread sleeps."""
REPORT_LOOK_S = 0.5
"""How often it is asked whether there is something to report."""
ADOPT_INTERVAL_S = 10.0
"""How often a process looks for spool files that nobody holds any more."""


class Outbox:
    """Takes events at once, delivers them in order. Safe with threads; a forked child needs a new one.

    Args:
        settings: of the bridge.
        registry: whose queues there are.
        unaccepted: what never came here, by name; it is only reported.

    Attributes:
        changed: told whenever something happened; guards all but the buffer.
        closing: whether it takes no more.
    """

    def __init__(self, settings: Settings, registry: Registry, unaccepted: Counter[str]) -> None:
        self.changed = threading.Condition()
        self.closing = False
        self._counts: Counter[str] = Counter()
        self._unaccepted = unaccepted
        self._settings = settings
        self._limits = BatchLimits(events=settings.emit_batch_max, size_bytes=settings.message_max_bytes)
        # Appending is atomic; nothing but that and _front is done without the lock.
        self._buffer: deque[Entry] = deque()
        self._buffer_max = settings.emit_buffer_max
        self._linger_s = settings.emit_linger_ms / 1000
        self._asleep = False
        self._running = False
        self._taken = 0
        self._delivered = 0
        self._in_spool = 0
        self._sender = TaskSender(settings, registry)
        self._reporter = Reporter(self._sender)
        self._look_at = 0.0
        self._spool: Spool | None = None
        self._threads: list[threading.Thread] = []

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far, by name."""
        with self.changed:
            return {**self._counts, "accepted": self._accepted}

    def put(self, entry: Entry) -> bool:
        """Accept one event if there is room; returns whether it was accepted."""
        if self.closing or len(self._buffer) >= self._buffer_max:
            return False
        self._buffer.append(entry)
        if self._asleep or not self._running:
            self._rouse()
        return not self.closing or not self._withdraw((entry,))

    def put_many(self, entries: Sequence[Entry]) -> int:
        """Accept events, in order and together, as far as there is room; returns how many.

        Threads that put at the same moment may find room for a few events more than the bound.
        """
        fitting = entries[: max(0, self._buffer_max - len(self._buffer))]
        if self.closing or not fitting:
            return 0
        self._buffer.extend(fitting)
        if self._asleep or not self._running:
            self._rouse()
        return len(fitting) - (self._withdraw(fitting) if self.closing else 0)

    def _rouse(self) -> None:
        """Have the buffer emptied."""
        if not self._running:
            self._start()
        with self.changed:
            self.changed.notify_all()

    def _withdraw(self, entries: Sequence[Entry]) -> int:
        """Take back what was put in while the outbox closed; what is gone was seen by whoever closed it."""
        withdrawn = 0
        with self.changed:
            for entry in entries:
                try:
                    self._buffer.remove(entry)
                    withdrawn += 1
                except ValueError:
                    continue
        return withdrawn

    @property
    def _accepted(self) -> int:
        return self._taken + len(self._buffer)

    def wait_until_delivered(self, timeout_s: float, *, or_trouble: bool = False) -> bool:
        """Wait until the broker has what was accepted so far; with ``or_trouble``, no longer than until it fails."""
        with self.changed:
            target, errors_before = self._accepted, self._counts["broker_errors"]
            self.changed.wait_for(
                lambda: self._delivered >= target or (or_trouble and self._counts["broker_errors"] > errors_before),
                timeout_s,
            )
            return self._delivered >= target

    def close(self, timeout_s: float) -> tuple[int, int]:
        """Deliver what can be delivered in time, and stop. Idempotent.

        Returns:
            How many events are abandoned, and how many wait in the spool for the next process.
        """
        if self._threads:
            self.wait_until_delivered(timeout_s)
        elif self._buffer:
            self._send_here()
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)
        with self.changed:
            spooled = self._close_spool()
            abandoned = self._accepted - self._delivered - spooled
            self._delivered += abandoned + spooled
            self._counts["abandoned"] += abandoned
            self._counts["spooled"] += spooled
            self._taken += len(self._buffer)
            self._buffer.clear()
        return abandoned, spooled

    def abandon(self) -> None:
        """In a forked child: leave the parent's spool alone."""
        if self._spool is not None:
            self._spool.abandon()

    # Threads

    def _start(self) -> None:
        with self.changed:
            if self.closing:
                return
            try:
                if self._settings.spool_dir:
                    self._keep_running("bridge-spooler", self._run_spooler)
                if self._spool is not None:
                    self._keep_running("bridge-emitter", self._empty_spools)
                if not self._settings.spool_dir:
                    self._keep_running("bridge-emitter", self._empty_buffer, self._send_until_taken)
                self._running = True
            except RuntimeError as error:  # out of threads, or the interpreter is ending
                self._counts["broker_errors"] += 1
                logger.error("bridge.emitter.stalled waiting=%d: %s", len(self._buffer), error)

    def _keep_running(self, name: str, run: Callable[..., None], *args: object) -> None:
        """Start a thread of that name unless it runs."""
        if any(thread.name == name and thread.is_alive() for thread in self._threads):
            return
        thread = threading.Thread(target=run, args=args, name=name, daemon=True)
        thread.start()
        self._threads = [*(other for other in self._threads if other.name != name), thread]

    def _empty_buffer(self, carry: Callable[[Sequence[Accepted]], int]) -> None:
        """Carry away what the buffer holds, round by round. It stays there until then, within its bound."""
        try:
            while round_ := self._next_round():
                written = self._write(round_)
                carried = carry(written) if written else 0
                with self.changed:
                    for _ in range(min(carried, len(self._buffer))):
                        self._buffer.popleft()
                        self._taken += 1
                    self.changed.notify_all()
                if self._spool is None:
                    self._report()
        finally:
            self._running = False
        if self._spool is None:
            self._report_last()
            self._sender.close()

    def _write(self, entries: Sequence[Entry]) -> list[Accepted]:
        """Write the oldest entries. One that cannot be written is let go, or it would hold up all behind it."""
        written: list[Accepted] = []
        for entry in entries:
            try:
                written.append(entry.accepted())
            except MemoryError:
                raise  # another time it may be written
            except Exception as error:  # none is known that was accepted, but to be wrong must not cost the others
                self._let_go(entry, error)
        return written

    def _let_go(self, entry: Entry, error: Exception) -> None:
        with self.changed:
            self._buffer.remove(entry)
            self._taken += 1
            self._delivered += 1
            self._counts["abandoned"] += 1
            self.changed.notify_all()
        logger.error(
            "bridge.emitter.abandoned events=1: an event of %s could not be written as JSON after it was accepted "
            "(%s). Please report this.",
            entry.route.task,
            type(error).__name__,
        )

    def _next_round(self) -> list[Entry]:
        """Wait for events; none if the outbox closes."""
        sleep_at = time.monotonic() + WARM_S
        while not self.closing:
            if len(self._buffer) < self._limits.events:
                time.sleep(self._linger_s)
            if not self._buffer and time.monotonic() > sleep_at:
                self._sleep()
            if self._buffer:
                return self._front(ROUND_MAX)
        return []

    def _front(self, most: int | None) -> list[Entry]:
        """A copy of the oldest entries. Only the thread that empties the buffer takes any out meanwhile."""
        while True:
            try:
                return list(islice(self._buffer, most))
            except RuntimeError:
                continue  # somebody put one in between the two calls, which ends an iteration of a deque

    def _sleep(self) -> None:
        """Until somebody puts an event in, or closes."""
        with self.changed:
            # Who appends looks at this afterwards, and we look at the buffer afterwards: one of us sees the other.
            self._asleep = True
            wait_s = self._reporter.wait_s if self._spool is None else None
            woken = self.changed.wait_for(lambda: self._buffer or self.closing, wait_s)
            self._asleep = False
        if not woken:
            self._reporter.tell(**self._figures())

    def _send_until_taken(self, events: Sequence[Accepted]) -> int:
        """Send; returns how many events the broker has: all, or none when the outbox closes."""
        if not self._send(events):
            return 0
        self._note_delivered(len(events))
        return len(events)

    def _send(self, events: Sequence[Accepted]) -> bool:
        """Send until the broker has all; False if the outbox closes before that."""
        messages = batch(events, self._limits)
        backoff, said, refused = Backoff(), "", False
        while True:
            try:
                self._sender.send(messages)
            except Exception as error:  # a dead thread would lose everything; trouble of any kind is waited out
                refused = isinstance(error, BrokerRefusedError)
                code = getattr(error, "code", "") or type(error).__name__
                name = "bridge.broker.refused" if refused else "bridge.broker.away"
                self._note_trouble(name, error, first=code != said)
                said = code
            else:
                if backoff.failures:
                    logger.info("bridge.broker.returned after_failures=%d", backoff.failures)
                return True
            if not topology(self._settings).one_server:
                self._report()
            with self.changed:
                if self.changed.wait_for(lambda: self.closing, backoff.next_s(refused=refused)):
                    return False

    def _note_delivered(self, number: int) -> None:
        with self.changed:
            self._delivered += number
            self._counts["delivered"] += number
            self.changed.notify_all()

    def _note_trouble(self, name: str, error: Exception, *, first: bool) -> None:
        with self.changed:
            self._counts["broker_errors"] += 1
            waiting = len(self._buffer)
            self.changed.notify_all()
        if first:
            level = logging.ERROR if isinstance(error, BrokerRefusedError) else logging.WARNING
            logger.log(level, "%s waiting=%d: %s: %s", name, waiting, type(error).__name__, error)

    def _figures(self) -> dict[str, int]:
        """What is reported; in memory is what neither the broker nor the spool has."""
        with self.changed:
            return {
                "accepted": self._accepted,
                "delivered": self._counts["delivered"],
                "waiting": max(0, self._accepted - self._delivered - self._in_spool),
                "spooled": self._in_spool,
                "refused": self._unaccepted["refused"] + self._unaccepted["overflowed"],
                "abandoned": self._counts["abandoned"],
            }

    def _report(self) -> None:
        """Only on the thread that sends; most rounds are over before it is time to look."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + REPORT_LOOK_S
            self._reporter.tell(**self._figures())

    def _report_last(self) -> None:
        """Only on the thread that sends, when it ends: what is in memory then is abandoned."""
        figures = self._figures()
        abandoned = figures["abandoned"] + figures["waiting"]
        self._reporter.tell_last(**{**figures, "abandoned": abandoned, "waiting": 0})

    def _send_here(self) -> None:
        """Send once, on the caller's thread: there is no other, and the process is ending."""
        round_ = self._write(self._front(None))
        try:
            self._sender.send(batch(round_, self._limits))
        except Exception as error:  # whatever it is, what is left is counted and logged as abandoned
            logger.warning("bridge.broker.away waiting=%d: %s", len(round_), error)
            return
        with self.changed:
            self._taken += len(self._buffer)
            self._buffer.clear()
        self._note_delivered(len(round_))

    # Spool

    def _open_spool(self) -> "Spool | None":
        from bridge.producer.spool import Spool  # brings in SQLite

        try:
            return Spool.create(
                Path(self._settings.spool_dir), max_bytes=self._settings.spool_max_bytes, name=self._reporter.producer
            )
        except SpoolError as error:
            # Better without a net than not at all: the business carries on.
            logger.critical("bridge.spool.unusable: events wait in memory only. %s", error)
            return None

    def _run_spooler(self) -> None:
        """Open the spool, which waits for the disk, and keep writing to it."""
        spool = self._spool or self._open_spool()
        if spool is None:
            self._empty_buffer(self._send_until_taken)
            return
        with self.changed:
            self._spool = spool
            self._keep_running("bridge-emitter", self._empty_spools)
        self._empty_buffer(self._spool_until_written)

    def _spool_until_written(self, events: Sequence[Accepted]) -> int:
        """Write to the spool, waiting for room; returns how many were written."""
        assert self._spool is not None  # noqa: S101  (this thread runs with a spool only)
        backoff = Backoff()
        while True:
            try:
                written = self._spool.append(events)
            except SpoolError as error:
                self._note_trouble("bridge.spool.broken", error, first=backoff.failures == 0)
                written = 0
            if written:
                with self.changed:
                    self._in_spool += written
                return written
            if backoff.failures == 0:
                logger.error("bridge.spool.full waiting=%d (BRIDGE_SPOOL_MAX_BYTES)", len(self._buffer))
            with self.changed:
                self._counts["spool_full"] += 1
                if self.changed.wait_for(lambda: self.closing, backoff.next_s()):
                    return 0

    def _empty_spools(self) -> None:
        """Send what the spool holds, and now and then what dead processes left in theirs."""
        assert self._spool is not None  # noqa: S101  (this thread runs with a spool only)
        folder, max_bytes = Path(self._settings.spool_dir), self._settings.spool_max_bytes
        while not self.closing:
            for orphan in self._spool.adopt(folder, max_bytes=max_bytes):
                logger.info("bridge.spool.adopted events=%d", orphan.count())
                self._empty_spool(orphan)
                if not orphan.count():
                    self._reporter.withdraw(orphan.name)
                orphan.close()
            self._empty_spool(self._spool)
            self._report()
            with self.changed:
                wait_s = min(ADOPT_INTERVAL_S, self._reporter.wait_s or ADOPT_INTERVAL_S)
                self.changed.wait_for(lambda: self.closing or self._in_spool, wait_s)
        self._report_last()
        self._sender.close()

    def _empty_spool(self, spool: "Spool") -> None:
        while not self.closing:
            last, events = spool.oldest(ROUND_MAX)
            if not events:
                return
            if not self._send(events):
                return
            spool.remove(last)
            if spool is self._spool:
                with self.changed:
                    self._in_spool -= len(events)
                self._note_delivered(len(events))

    def _close_spool(self) -> int:
        """Let go of the spool; returns how many events wait in it."""
        if self._spool is None:
            return 0
        spool, self._spool = self._spool, None
        waiting = spool.count()
        spool.close()
        return waiting
