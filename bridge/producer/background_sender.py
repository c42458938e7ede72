"""``BackgroundSender``: moves accepted events from the buffer to the broker, on threads of its own.

Without a spool one thread sends what the buffer holds. With one, that thread writes to the spool, and a
second one sends what the spool holds (see ``Spooler``). A third tells the store how it goes (see ``Reporter``). The
outbox of each database of the application has one more (see ``Drain``).
"""

import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.producer.batching import BatchLimits
from bridge.producer.buffer import Buffer
from bridge.producer.diversion import outbox_diversion
from bridge.producer.lifetime import EMITTERS, new_name
from bridge.producer.reporter import Ages, Reporter
from bridge.producer.sender import Progress, Sender
from bridge.producer.unaccepted import Unaccepted
from bridge.runtime.reports import ProducerReport
from bridge.runtime.supervision import SupervisedThread
from bridge.settings import ProducerSettings
from bridge.wiring import open_queue

if TYPE_CHECKING:
    from bridge.ports import OutboxDatabase
    from bridge.producer.outbox.drain import Drain
    from bridge.producer.outbox.drains import Drains
    from bridge.producer.spooler import Spooler

logger = plain_logger(__name__)

JOIN_TIMEOUT_S = 1.0
"""How long ``close`` waits for each thread."""
DISK_WAIT_S = 10.0
"""How long it waits for a write to the spool that is under way; nothing else may ask the disk before."""


class BackgroundSender:
    """Buffers events at once and sends them in order. Safe with threads; a forked child needs a new one.

    What never came here (``unaccepted``) is only reported.
    """

    def __init__(self, settings: ProducerSettings, registry: Registry, unaccepted: Unaccepted) -> None:
        self.progress = Progress()
        self.buffer = Buffer(
            settings.emit_buffer_max,
            linger_s=settings.emit_linger_ms / 1000,
            enough=settings.emit_batch_max,
            progress=self.progress,
            attend=self._start,
        )
        self._unaccepted = unaccepted
        limits = BatchLimits(events=settings.emit_batch_max, size_bytes=settings.message_max_bytes)
        self._queue = open_queue(settings, registry)
        self._sender = Sender(self._queue, limits, self.progress, self.buffer.__len__)
        self._ages = Ages()
        self._reporter = Reporter(settings, registry, self._fill_in)
        self._spooler = self._make_spooler(settings, registry) if settings.spool_dir else None
        self._threads = self._make_threads()
        self._settings, self._registry = settings, registry
        self._drains: Drains | None = None
        self._queue.prepare()

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far, by name."""
        with self.progress.changed:
            return {**self.progress.counts, "accepted": self.buffer.accepted}

    def wait_until_delivered(self, timeout_s: float, *, or_trouble: bool = False) -> bool:
        """Wait until the broker has what was accepted so far; with ``or_trouble``, no longer than until it fails."""
        progress = self.progress
        with progress.changed:
            target, errors_before = self.buffer.accepted, progress.counts["broker_errors"]
            if not or_trouble and progress.delivered < target:
                progress.flushes += 1
                progress.changed.notify_all()
            progress.changed.wait_for(
                lambda: (
                    progress.delivered >= target or (or_trouble and progress.counts["broker_errors"] > errors_before)
                ),
                timeout_s,
            )
            return progress.delivered >= target

    def wait_until_drained(self, timeout_s: float) -> bool:
        """Wait until the broker has what was committed to outboxes so far; whether it has."""
        until = time.monotonic() + timeout_s
        drained = [drain.wait_until_empty(max(0.0, until - time.monotonic())) for drain in self._drains or ()]
        return all(drained)

    def drain(self, key: Hashable, open_database: "Callable[[], OutboxDatabase]", lives_with: object | None) -> "Drain":
        """The drain of a database, which runs from the first call on; see ``Emitter.drain``."""
        drains = self._drains or self._make_drains()
        found = drains.of(key, lambda: self._make_drain(open_database(), drains, lives_with))
        if not (found.thread.is_alive() or self.buffer.closing or outbox_diversion()):
            with suppress(RuntimeError):  # out of threads: the next call tries again
                drains.begin(found)
            self.start_reporting()
        return found

    def start_reporting(self) -> None:
        """Have the store know of what was not accepted, also if nothing ever is."""
        with self.progress.changed:
            if not self.buffer.closing and not self._reporter.thread.is_alive():
                with suppress(RuntimeError):  # out of threads: it is logged, and the next one tries again
                    self._reporter.thread.start()

    def close(self, timeout_s: float) -> tuple[int, int]:
        """Deliver what can be delivered in time, and stop. Idempotent.

        Returns:
            How many events are abandoned, and how many wait in the spool for the next process.
        """
        until = time.monotonic() + timeout_s
        if any(thread.is_alive() for thread in self._threads):
            self.wait_until_delivered(timeout_s)
        elif len(self.buffer):
            self._send_here()
        self.wait_until_drained(until - time.monotonic())
        self.buffer.close()
        for drain in self._drains.close() if self._drains else ():
            drain.stop(JOIN_TIMEOUT_S)
        for thread in self._threads:
            thread.stopping.set()
        still_running = [thread for thread in self._threads if not thread.join(JOIN_TIMEOUT_S)]
        writing = self._spooler is not None and not self._threads[0].join(DISK_WAIT_S)
        abandoned, spooled = self._settle_up(writing=writing)
        self._reporter.thread.stop(JOIN_TIMEOUT_S)
        if not still_running:
            self._queue.close()
        return abandoned, spooled

    def abandon(self) -> None:
        """In a forked child: leave the parent's spool and events alone, also where its threads came along (gevent)."""
        self.buffer.closing = self.progress.closing = True  # no lock: a thread that is not here may hold it
        if self._drains is not None:
            self._drains.abandon()
        if self._spooler is not None:
            self._spooler.abandon()

    # Threads

    def _make_spooler(self, settings: ProducerSettings, registry: Registry) -> "Spooler":
        from bridge.producer.row_validation import RowValidator
        from bridge.producer.spooler import Spooler  # brings in SQLite

        return Spooler(
            Path(settings.spool_dir),
            max_bytes=settings.spool_max_bytes,
            name=self._reporter.producer,
            validator=RowValidator(registry),
            buffer=self.buffer,
            sender=self._sender,
            progress=self.progress,
            withdraw=self._reporter.withdraw,
        )

    def _make_threads(self) -> list[SupervisedThread]:
        if self._spooler is None:
            return [SupervisedThread(partial(self.buffer.empty, self._sender.deliver), name="bridge-emitter")]
        return [
            SupervisedThread(self._spooler.write, name="bridge-spooler"),
            SupervisedThread(self._spooler.send, name="bridge-emitter"),
        ]

    def _make_drains(self) -> "Drains":
        from bridge.producer.outbox.drains import Drains

        with EMITTERS.lock():
            self._drains = self._drains or Drains()
            return self._drains

    def _make_drain(self, database: "OutboxDatabase", drains: "Drains", lives_with: object | None) -> "Drain":
        from bridge.producer.outbox.drain import Drain

        queue = open_queue(self._settings, self._registry)
        queue.prepare()
        return Drain(
            database,
            queue,
            settings=self._settings,
            registry=self._registry,
            owner=new_name(),
            progress=self.progress,
            drains=drains,
            lives_with=lives_with,
        )

    def _start(self) -> bool:
        """Start what does not run; whether all runs."""
        with self.progress.changed:
            if self.buffer.closing:
                return False
            try:
                for thread in (*self._threads, self._reporter.thread):
                    thread.start()
            except RuntimeError as error:  # out of threads, or the interpreter is ending
                self.progress.counts["broker_errors"] += 1
                logger.error("bridge.emitter.stalled waiting=%d: %s", len(self.buffer), error)
                return False
        return True

    def _send_here(self) -> None:
        """Send once, on the caller's thread: there is no other, and the process is ending."""
        events = self.buffer.written(self.buffer.front(None))
        if self._sender.try_once(events) is None:
            self.buffer.take_out(len(events))
            self.progress.note_delivered(len(events))

    # The end, and the report

    def _settle_up(self, *, writing: bool) -> tuple[int, int]:
        """Count what was not sent; see ``close``."""
        spooled = self._spooler.close(writing=writing) if self._spooler is not None else 0
        with self.progress.changed:
            self.buffer.clear()
            self.progress.in_spool = spooled
            abandoned = max(0, self.buffer.accepted - self.progress.delivered - spooled)
            self.progress.delivered += abandoned + spooled
            self.progress.counts["abandoned"] += abandoned
            self.progress.counts["spooled"] += spooled
        return abandoned, spooled

    def _fill_in(self, report: ProducerReport) -> ProducerReport:
        """What there is to say now; in memory is what neither the broker nor the spool has."""
        progress, never_came = self.progress, self._unaccepted.counts
        drains = [*(self._drains or ())]
        drain_threads = [thread for drain in drains for thread in drain.threads]
        with progress.changed:
            accepted, done, spooled = self.buffer.accepted, progress.delivered, progress.in_spool
            self._ages.note(accepted, done)
            return replace(
                report,
                accepted=accepted,
                delivered=progress.counts["delivered"],
                waiting=max(0, accepted - done - (0 if self.buffer.closing else spooled)),
                spooled=spooled,
                refused=never_came["refused"] + never_came["overflowed"],
                abandoned=progress.counts["abandoned"],
                unmapped=never_came["unmapped"],
                unmapped_classes=tuple(self._unaccepted.classes),
                set_aside=self._spooler.set_aside if self._spooler is not None else 0,
                outboxes=tuple(drain.report() for drain in drains),
                oldest_s=round(self._ages.oldest_s, 3),
                accepted_age_s=round(self._ages.accepted_s, 3),
                sent_age_s=round(progress.sent_age_s, 3),
                trouble=progress.trouble,
                threads=tuple(thread.state for thread in (*self._threads, *drain_threads)),
            )
