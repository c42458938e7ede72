"""Dead letters for what Celery cannot run: its raw bytes and the cause, and the worker goes on."""

import hashlib
import logging
import time
from datetime import UTC, datetime
from uuid import UUID

from bridge.errors import StoreUnavailableError
from bridge.pipeline import Stage, describe
from bridge.store import Attempt, DeadLetter, DeadLetters
from bridge.worker.identity import RELEASE, worker_name

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""How long a worker waits for Redis with a message in its hand; nothing else could be done meanwhile."""
WAIT_S = 0.2


class Quarantine:
    """Buries messages. Idempotent by their bytes, so that a redelivery makes the same letter."""

    def __init__(self, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters

    def __call__(self, raw: bytes, queue: str, error: Exception, *, task: str = "", letter_id: str = "") -> None:
        """Keep a message, under an id derived from its bytes unless it has one.

        Raises:
            StoreUnavailableError: Redis stays away; the message must not be acknowledged.
        """
        now = datetime.now(UTC).isoformat()
        failure = describe(error, Stage.MESSAGE)
        letter = DeadLetter(
            letter_id=letter_id or str(UUID(bytes=hashlib.sha256(raw).digest()[:16])),
            task=task,
            queue=queue,
            envelope="",
            failure=failure,
            attempts=(Attempt(number=1, at=now, failure=failure),),
            buried_at=now,
            worker=worker_name(),
            release=RELEASE,
            raw=raw,
        )
        self._bury(letter)
        logger.error(
            "bridge.message.quarantined letter_id=%s queue=%s error=%s: %s",
            letter.letter_id,
            queue,
            failure.error_class,
            failure.message,
        )

    def _bury(self, letter: DeadLetter) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._dead_letters.bury([letter])
            except StoreUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(WAIT_S)
            else:
                return
