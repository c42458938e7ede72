"""``Reporter``: tells the books now and then what this producer still has in its hands; nobody waits for it."""

import logging
import os
import socket
import time
from datetime import UTC, datetime

from msgspec.structs import replace

from bridge.broker import TaskSender
from bridge.errors import BridgeError
from bridge.producer.naming import new_name
from bridge.store import ProducerReport

logger = logging.getLogger(__name__)

INTERVAL_S = 5.0
"""A producer reports at most this often, and not before it has run for so long."""


class Reporter:
    """Reports through the sender of the thread that calls it, and never raises. Not thread-safe.

    Attributes:
        producer: under which name this process reports; also that of its spool file.
    """

    def __init__(self, sender: TaskSender) -> None:
        self.producer = new_name()
        self._sender = sender
        self._self = ProducerReport(host=socket.gethostname(), pid=os.getpid(), started=datetime.now(UTC).isoformat())
        self._told: ProducerReport | None = None
        self._due_at: float | None = None
        self._pending = False

    @property
    def wait_s(self) -> float | None:
        """Seconds until there is something to tell; None if there is nothing."""
        return max(0.0, self._due_at - time.monotonic()) if self._pending and self._due_at is not None else None

    def tell(self, **figures: int) -> None:
        """Report if it is time to, and if anything changed or is still in our hands."""
        now = time.monotonic()
        report = replace(self._self, **figures)
        self._pending = report != self._told or bool(report.waiting or report.spooled)
        if self._due_at is None:
            self._due_at = now + INTERVAL_S
        elif self._pending and now >= self._due_at:
            self._due_at = now + INTERVAL_S
            self._write(self.producer, report)

    def tell_last(self, **figures: int) -> None:
        """Report what is left behind; a process that leaves nothing takes its report with it."""
        report = replace(self._self, **figures)
        if report.abandoned or report.spooled:
            self._write(self.producer, report)
        elif self._told is not None:
            self._write(self.producer, None)

    def withdraw(self, producer: str) -> None:
        """Withdraw the report of a process that is no more, when its spool has been sent."""
        self._write(producer, None)

    def _write(self, producer: str, report: ProducerReport | None) -> None:
        try:
            self._sender.report(producer, report)
        except BridgeError as error:
            logger.debug("bridge.producer.unreported: %s", error)
        except Exception:  # reporting may hold up nothing, least of all the thread that sends
            logger.warning("bridge.producer.unreported", exc_info=True)
        else:
            self._told = report if producer == self.producer else self._told
            self._pending = bool(self._told and (self._told.waiting or self._told.spooled))
