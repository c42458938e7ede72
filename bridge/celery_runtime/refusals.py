"""What a worker is refused: queues that are left out and tried again, and what Redis or the broker refuses for good.

One queue that is not what the bridge declares (a foreign client made a classic one of it, say) closes the channel of
whichever process declares it. Taken for an outage it would keep a worker from all of its queues, forever.
"""

import time
from typing import Any

from kombu import Connection, Queue

from bridge.amqp_adapter.errors import diagnose
from bridge.model.plain_text import plain_logger

logger = plain_logger(__name__)

LOOK_S = 10.0
"""How often a queue that was refused is tried again."""


class RefusedQueues:
    """Chooses what a worker consumes among what it was told to: Celery's queues, with the choice of ``-Q``."""

    def __init__(self, queues: Any) -> None:
        self._queues = queues
        self._wanted: dict[str, Queue] = dict(queues.consume_from)
        self._why: dict[str, str] = {}
        self._until_restart: set[str] = set()

    @property
    def why(self) -> dict[str, str]:
        """Each refused queue, and why."""
        return dict(self._why)

    def look(self, connection: Connection) -> list[str]:
        """Declare the queues that are not known to be refused for good, each on a channel of its own.

        Returns:
            Queues that were refused before and are not any more.

        Raises:
            Exception: the connection is lost, by its ``connection_errors``.
        """
        found = []
        for name, queue in self._wanted.items():
            if name in self._until_restart:
                continue
            why = _refusal(connection, queue)
            if why:
                self._note(name, why)
            elif self._why.pop(name, None):
                logger.info("bridge.queue.accepted queue=%s: the broker lets it be consumed again.", name)
                self._queues.select_add(queue)
                found.append(name)
        return found

    def blame(self, error: BaseException) -> bool:
        """Refuse the queue that an error names, if it is one of consuming rather than of the connection."""
        trouble = diagnose(error)
        if trouble is None or getattr(error, "reply_code", None) not in _OF_A_QUEUE:
            return False
        named = [name for name in self._wanted if f"'{name}'" in trouble.text]
        for name in named:
            self._until_restart.add(name)
            self._note(name, f"{trouble.code}: {trouble.text} {trouble.advice}")
        return bool(named)

    def _note(self, name: str, why: str) -> None:
        if self._why.get(name) != why:
            logger.error("bridge.queue.refused queue=%s: the other queues are consumed. %s", name, why)
        self._why[name] = why
        self._queues.deselect(name)


_OF_A_QUEUE = (403, 404, 405, 406)
"""AMQP's replies that close a channel for what was asked of one queue."""


def _refusal(connection: Connection, queue: Queue) -> str:
    """Why the broker refuses a queue as the bridge declares it; empty if it does not."""
    channel = connection.channel()
    try:
        queue.bind(channel).declare()
    except connection.channel_errors as error:
        if getattr(error, "reply_code", None) not in _OF_A_QUEUE:
            raise
        trouble = diagnose(error)
        return f"{trouble.code}: {trouble.text} {trouble.advice}".strip() if trouble else str(error)
    channel.close()
    return ""


CODES = frozenset({"NOPERM", "NOAUTH", "WRONGPASS", "WRONGTYPE", "ACCESS_REFUSED"})
"""With which a broker says that its user may not, or that a key is not ours."""
WAIT_S = 1.0
"""Before the next attempt: Celery makes it at once, hundreds a second."""
TELL_EVERY_S = 60.0
FRESH_S = 120.0
"""A refusal is told for so long after a message went back over it, or until one is done."""
TEXT_MAX = 500


class Refusals:
    """What is refused for good, of which the heartbeat tells. Safe with threads: a look and a note are one step each.

    Attributes:
        newest: when the newest was noted, in s of the monotonic clock, and its sentence; None if nothing is refused.
    """

    def __init__(self) -> None:
        self.newest: tuple[float, str] | None = None
        self._told_at = float("-inf")

    def note(self, sentence: str) -> None:
        """A message went back, because this was refused."""
        self.newest = (time.monotonic(), sentence[:TEXT_MAX])

    def note_right(self, error: Exception, *, wait_s: float = WAIT_S) -> bool:
        """Whether an error refuses the worker a right on the broker; if so, tells of it and waits.

        For the main thread alone, which takes no messages meanwhile.
        """
        trouble = diagnose(error)
        if trouble is None or trouble.code not in CODES:
            return False
        sentence = f"{trouble.code}: {trouble.text} {trouble.advice}"
        self.note(f"It may not take messages: {sentence}")
        if time.monotonic() - self._told_at >= TELL_EVERY_S:
            self._told_at = time.monotonic()
            logger.error("bridge.broker.refused: this worker takes no messages until it may. %s", sentence)
        time.sleep(wait_s)
        return True

    @property
    def sentence(self) -> str:
        """What is refused; empty if nothing is."""
        newest = self.newest
        return newest[1] if newest is not None and time.monotonic() - newest[0] < FRESH_S else ""


refusals = Refusals()
"""Of this process: a worker's main process sees every message of its pool go back."""
