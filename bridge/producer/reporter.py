"""``Reporter``: tells the store what this producer still holds, on a thread and a connection of its own.

So a sender that is held up, by whatever it is, is told of while it is.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b

from msgspec.structs import replace

from bridge.model.errors import StoreError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.model.registry.identity import identity_of
from bridge.producer.lifetime import new_name
from bridge.runtime.identity import team_release
from bridge.runtime.reports import OutboxReport, ProducerReport
from bridge.runtime.supervision import OnceAKind, SupervisedThread
from bridge.settings import ProducerSettings
from bridge.wiring import producer_reports

logger = plain_logger(__name__)

INTERVAL_S = 3.0
"""How often a producer reports; not before it has run for so long."""
IDLE_INTERVAL_S = 9.0
"""How often it does while nothing happens."""
SAMPLE_S = 1.0
"""How often it is seen how far the broker has come, to know for how long the oldest event waits."""
SAMPLES_MAX = 600
"""Samples that are kept; an event that waits for longer is as old as the oldest of them."""


class Ages:
    """For how long the oldest event waits that the broker does not have: to a second, and without a look at each."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # (when, how many were accepted by then), each with more than the one before.
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES_MAX)
        self._accepted_at = clock()
        self._accepted = 0

    def note(self, accepted: int, done: int) -> None:
        """So many were accepted by now, and so many of them are no longer held."""
        now = self._clock()
        if accepted > self._accepted:
            self._accepted, self._accepted_at = accepted, now
            if len(self._samples) < SAMPLES_MAX:
                self._samples.append((now, accepted))
            else:
                self._samples[-1] = (self._samples[-1][0], accepted)
        while self._samples and self._samples[0][1] <= done:
            self._samples.popleft()

    @property
    def oldest_s(self) -> float:
        """Of the oldest event that waits; 0 if none does."""
        return self._clock() - self._samples[0][0] if self._samples else 0.0

    @property
    def accepted_s(self) -> float:
        """Since an event was last accepted."""
        return self._clock() - self._accepted_at


class Reporter:
    """Runs until its thread is stopped, and then says what is left behind.

    ``report`` fills in what there is to say now. ``producer``, under which this process reports, is also the name of
    its spool file.
    """

    def __init__(
        self, settings: ProducerSettings, registry: Registry, report: Callable[[ProducerReport], ProducerReport]
    ) -> None:
        self._settings, self._registry = settings, registry
        self.producer = new_name()
        self.thread = SupervisedThread(self._run, name="bridge-reporter")
        self._producers, self._close = producer_reports(settings)
        self._self = ProducerReport(host=socket.gethostname(), pid=os.getpid(), started=datetime.now(UTC).isoformat())
        self._report = report
        self._told = False
        self._trouble = OnceAKind(logger)
        self._withdrawn: deque[str] = deque()
        self._outboxes: set[str] = set()

    def withdraw(self, producer: str) -> None:
        """Withdraw the report of a process that is no more, when its spool has been sent. From any thread."""
        if producer.isascii():  # ours are; a spool file may be named in any bytes, which no store takes
            self._withdrawn.append(producer)

    def _run(self) -> None:
        # Takes milliseconds, for which no emit should wait.
        catalog, release = str(identity_of(self._registry)), team_release(self._settings)
        self._self = replace(self._self, catalog=catalog, release=release)
        due_at = time.monotonic() + INTERVAL_S
        while not self.thread.stopping.wait(SAMPLE_S):
            self._tell_withdrawn()
            report = self._report(self._self)
            if time.monotonic() >= due_at:
                is_idle = not report.oldest_s and report.accepted_age_s > INTERVAL_S and not report.trouble
                due_at = time.monotonic() + (IDLE_INTERVAL_S if is_idle else INTERVAL_S)
                self._told |= self._keep(self.producer, report)
                self._note_outboxes(report)
        self._tell_last()
        self._close()

    def _tell_last(self) -> None:
        """Say what is left behind; a process that leaves nothing takes its report with it."""
        report = self._report(self._self)
        abandoned = report.abandoned + report.waiting
        report = replace(report, abandoned=abandoned, waiting=0, left=True, oldest_s=0.0, threads=())
        if abandoned or report.spooled:
            self._keep(self.producer, report)
        elif self._told:
            self._keep(self.producer, None)
        for outbox in report.outboxes:
            if outbox.waiting:
                self._keep(_left_behind(outbox), replace(self._self, left=True, outboxes=(outbox,)))
        self._tell_withdrawn()

    def _note_outboxes(self, report: ProducerReport) -> None:
        """Withdraw what a process that ended said of an outbox, now that we speak of it: once a process."""
        for outbox in report.outboxes:
            if outbox.database not in self._outboxes and self._keep(_left_behind(outbox), None):
                self._outboxes.add(outbox.database)

    def _tell_withdrawn(self) -> None:
        while self._withdrawn and self._keep(self._withdrawn[0], None):
            self._withdrawn.popleft()

    def _keep(self, producer: str, report: ProducerReport | None) -> bool:
        """Write; whether the store has it."""
        try:
            self._producers.keep(producer, report)
        except StoreError as error:
            self._trouble.log(error, "bridge.producer.unreported", logging.INFO)
            return False
        self._trouble.over()
        return True


def _left_behind(outbox: OutboxReport) -> str:
    """Under which name it is kept what waits in an outbox that no process may be draining: one a database."""
    return f"outbox-{blake2b(outbox.database.encode(), digest_size=16).hexdigest()}"
