"""``Progress``: what became of the accepted events of one process so far; told to whoever waits."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from bridge.model.errors import BrokerRefusedError
from bridge.model.pipeline.failure import Stage, describe
from bridge.model.plain_text import plain_logger

logger = plain_logger(__name__)

TROUBLE_CHARS_MAX = 200
"""Characters of the last trouble in a report."""


class Progress:
    """Counters and the last trouble. All but ``closing`` is changed under ``changed``.

    Attributes:
        delivered: events this producer no longer holds: the broker has them, or they were dropped.
        in_spool: events of this process in its spool.
        trouble: the last one, as ``<class>: <message>``; empty if there was none since the last delivery.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.changed = threading.Condition()
        self.closing = False
        self.counts: Counter[str] = Counter()
        self.delivered = 0
        self.in_spool = 0
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

    def wait(self, until: Callable[[], object], timeout_s: float | None) -> bool:
        """Wait until something is so, or the process closes; whether it closes."""
        with self.changed:
            self.changed.wait_for(lambda: self.closing or until(), timeout_s)
            return self.closing
