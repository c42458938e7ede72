"""``Sender``: packs accepted events into messages and sends them until the broker has them; for one thread."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bridge.model.errors import BrokerRefusedError
from bridge.model.plain_text import plain_logger
from bridge.producer.batching import Accepted, BatchLimits, batch
from bridge.producer.progress import Progress
from bridge.runtime.backoff import Backoff

if TYPE_CHECKING:
    from bridge.ports import Queue

logger = plain_logger(__name__)


class Sender:
    """Packs events into messages and sends them, over trouble of any kind. Not thread-safe.

    The connection stays its owner's to close; ``waiting`` tells how many events are in memory, for the log.
    """

    def __init__(self, queue: "Queue", limits: BatchLimits, progress: Progress, waiting: Callable[[], int]) -> None:
        self._queue = queue
        self._limits = limits
        self._progress = progress
        self._waiting = waiting
        self._backoff = Backoff()
        self._said = ""

    def send(self, events: Sequence[Accepted]) -> bool:
        """Send until the broker has all; False if the process closes before that."""
        messages = batch(events, self._limits)
        while True:
            try:
                self._queue.send(messages)
            except Exception as error:  # trouble of any kind is waited out, and what was accepted is kept
                wait_s = self._note(error)
            else:
                self._note_success()
                return True
            if self._progress.wait(lambda: False, wait_s):
                return False

    def try_once(self, events: Sequence[Accepted]) -> float | None:
        """Send, without trying again; None if the broker has all, otherwise the seconds to wait before another try."""
        try:
            self._queue.send(batch(events, self._limits))
        except Exception as error:  # as in ``send``
            return self._note(error)
        self._note_success()
        return None

    def _note(self, error: Exception) -> float:
        """Count, and log once a kind of trouble however long it lasts; returns the seconds to wait."""
        refused = isinstance(error, BrokerRefusedError)
        code = getattr(error, "code", "") or type(error).__name__
        name = "bridge.broker.refused" if refused else "bridge.broker.away"
        self._progress.note_trouble(name, error, waiting=self._waiting(), count="broker_errors", say=code != self._said)
        self._said = code
        return self._backoff.next_s(refused=refused)

    def _note_success(self) -> None:
        self._progress.note_sent()
        if self._backoff.failures:
            logger.info("bridge.broker.returned after_failures=%d", self._backoff.failures)
            self._backoff, self._said = Backoff(), ""
