"""Sending accepted events until the broker has them (``Sender``), and what became of them so far (``Progress``)."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bridge.model.errors import BrokerRefusedError
from bridge.model.pipeline.failure import Stage, describe
from bridge.model.plain_text import plain_logger
from bridge.producer.batching import Accepted, BatchLimits, batch
from bridge.runtime.supervision import Backoff

if TYPE_CHECKING:
    from bridge.messages import TaskMessage
    from bridge.ports import Queue

logger = plain_logger(__name__)


TROUBLE_CHARS_MAX = 200
"""Characters of the last trouble in a report."""


class Progress:
    """Counters and the last trouble. All but ``closing`` is changed under ``changed``.

    Attributes:
        delivered: events this producer no longer holds: the broker has them, or they were dropped.
        in_spool: events of this process in its spool.
        flushes: how often somebody began to wait for delivery: what waits after trouble is tried again at once.
        trouble: the last one, as ``<class>: <message>``; empty if there was none since the last delivery.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.changed = threading.Condition()
        self.closing = False
        self.counts: Counter[str] = Counter()
        self.delivered = 0
        self.in_spool = 0
        self.flushes = 0
        self.trouble = ""
        self._clock = clock
        self._sent_at = clock()

    @property
    def sent_age_s(self) -> float:
        """Seconds since the broker last took something, or since the start."""
        return self._clock() - self._sent_at

    def note_delivered(self, number: int) -> None:
        """The broker has so many more."""
        with self.changed:
            self.delivered += number
            self.counts["delivered"] += number
            self.note_sent()
            self.changed.notify_all()

    def note_sent(self) -> None:
        """The broker took something, from any spool."""
        self._sent_at, self.trouble = self._clock(), ""

    def note_abandoned(self, number: int) -> None:
        """So many were accepted and will not arrive."""
        with self.changed:
            self.delivered += number
            self.counts["abandoned"] += number
            self.changed.notify_all()

    def note_trouble(self, event: str, error: Exception, *, waiting: int, count: str, say: bool) -> None:
        """Count a trouble, keep its words for the report, and log them if ``say``."""
        failure = describe(error, Stage.WORKER)
        text = " ".join(f"{failure.error_class.rpartition('.')[2]}: {failure.message}".split())
        with self.changed:
            self.counts[count] += 1
            self.trouble = text[:TROUBLE_CHARS_MAX]
            self.changed.notify_all()
        if say:
            level = logging.ERROR if isinstance(error, BrokerRefusedError) else logging.WARNING
            logger.log(level, "%s waiting=%d: %s", event, waiting, text)

    def flushed_since(self, flushes: int) -> bool:
        """Whether somebody began to wait for delivery since there were so many who did."""
        return self.flushes != flushes

    def wait(self, until: Callable[[], object], timeout_s: float | None) -> bool:
        """Wait until something is so, or the process closes; whether it closes."""
        with self.changed:
            self.changed.wait_for(lambda: self.closing or until(), timeout_s)
            return self.closing


class Sender:
    """Packs events into messages and sends them, over trouble of any kind. Not thread-safe.

    The connection stays its owner's to close; ``waiting`` tells how many events are in memory, for the log.

    Attributes:
        undone: whether the broker surely took nothing at the last try, which failed.
    """

    def __init__(self, queue: "Queue", limits: BatchLimits, progress: Progress, waiting: Callable[[], int]) -> None:
        self._queue = queue
        self._limits = limits
        self._progress = progress
        self._waiting = waiting
        self._backoff = Backoff()
        self._said = ""
        self.undone = False
        self._tried: Sequence[Accepted] = ()
        self._messages: Sequence[TaskMessage] = ()

    def deliver(self, events: Sequence[Accepted]) -> int:
        """Send this process' events; returns how many the broker has: all, or none when the process closes."""
        if not self.send(events):
            return 0
        self._progress.note_delivered(len(events))
        return len(events)

    def send(self, events: Sequence[Accepted]) -> bool:
        """Send until the broker has all; False if the process closes before that."""
        messages = batch(events, self._limits)
        while True:
            flushes = self._progress.flushes
            try:
                self._queue.send(messages)
            except Exception as error:  # trouble of any kind is waited out, and what was accepted is kept
                wait_s = self._note(error)
            else:
                self._note_success()
                return True
            if self._progress.wait(partial(self._progress.flushed_since, flushes), wait_s):
                return False

    def try_once(self, events: Sequence[Accepted]) -> float | None:
        """Send, without trying again; None if the broker has all, otherwise the seconds to wait before another try.

        The same list, tried again next, goes in the same messages, which the accounting knows by their ids.
        """
        if events is not self._tried:
            self._tried, self._messages = events, batch(events, self._limits)
        wait_s = self.try_messages(self._messages)
        if wait_s is None:
            self._tried = self._messages = ()
        return wait_s

    def try_messages(self, messages: Sequence["TaskMessage"]) -> float | None:
        """As ``try_once``, of events that are packed already."""
        try:
            self._queue.send(messages)
        except Exception as error:  # as in ``send``
            return self._note(error)
        self._note_success()
        return None

    def _note(self, error: Exception) -> float:
        """Count, and log once a kind of trouble however long it lasts; returns the seconds to wait."""
        refused = isinstance(error, BrokerRefusedError)
        code = getattr(error, "code", "") or type(error).__name__
        self.undone = getattr(error, "undone", False)
        name = "bridge.broker.refused" if refused else "bridge.broker.away"
        self._progress.note_trouble(name, error, waiting=self._waiting(), count="broker_errors", say=code != self._said)
        self._said = code
        return self._backoff.next_s(refused=refused)

    def _note_success(self) -> None:
        self._progress.note_sent()
        if self._backoff.failures:
            logger.info("bridge.broker.returned after_failures=%d", self._backoff.failures)
            self._backoff, self._said = Backoff(), ""
