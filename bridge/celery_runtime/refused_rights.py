"""``RefusedRights``: a broker on Redis that takes this worker's commands no more, since its user lost a right."""

import time

from bridge.model.plain_text import plain_logger
from bridge.redis_adapter import diagnose, store_error
from bridge.worker.refusals import refusals

logger = plain_logger(__name__)

CODES = frozenset({"NOPERM", "NOAUTH", "WRONGPASS"})
WAIT_S = 1.0
"""Before the next attempt: Celery makes it at once, hundreds a second."""
TELL_EVERY_S = 60.0


class RefusedRights:
    """Tells of it in one sentence now and then, and has ``status`` show it. Used by the main thread alone."""

    def __init__(self) -> None:
        self._told_at = float("-inf")

    def note(self, error: Exception) -> bool:
        """Whether the error refuses the worker a right; if so, tells of it and waits ``WAIT_S`` before it returns."""
        if diagnose(error).code not in CODES:
            return False
        sentence = str(store_error(error))
        refusals.note(f"It may not take messages either: {sentence}")
        if time.monotonic() - self._told_at >= TELL_EVERY_S:
            self._told_at = time.monotonic()
            logger.error("bridge.broker.refused: this worker takes no messages until it may. %s", sentence)
        time.sleep(WAIT_S)
        return True
