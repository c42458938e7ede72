"""Dead letters for what Celery cannot run: its raw bytes and the cause, and the worker goes on."""

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from bridge.model.bounds import RAW_KEPT_MAX
from bridge.model.dead_letter import DeadLetter
from bridge.model.errors import StoreError, StoreUnavailableError
from bridge.model.pipeline import Stage, describe
from bridge.model.plain_text import plain_logger
from bridge.model.retry import Attempt, RetryRecord
from bridge.ports import Clock, DeadLetters, MasterWatch
from bridge.runtime.identity import VERSION, short_name

logger = plain_logger(__name__)

PATIENCE_S = 5.0
"""How long a worker waits for Redis with a message in its hand; nothing else could be done meanwhile."""
WAIT_S = 0.2


class Quarantine:
    """Dead-letters what cannot be run, with RAW_KEPT_MAX of its bytes. A redelivery makes no second letter.

    Raises StoreError where Redis stays away, or refuses: then the message must not be acknowledged.
    """

    def __init__(
        self, dead_letters: DeadLetters, clock: Clock, release: str = VERSION, *, master: MasterWatch | None = None
    ) -> None:
        self._master = master
        self._release = release
        self._dead_letters = dead_letters
        self._clock = clock

    def __call__(
        self,
        raw: bytes,
        queue: str,
        error: Exception,
        *,
        task: str = "",
        booked_as: str = "",
        part: Sequence[str] | None = None,
        claimed_on: str = "",
    ) -> None:
        """Keep a whole message, under an id derived from its bytes.

        ``booked_as`` is the message in the accounting; empty if unknown. If this is only a part of it, ``part`` are the
        ids of its events. ``claimed_on`` is the server that must have the letter, as for ``MasterWatch``.
        """
        is_kept = self._master.begin(claimed_on) if self._master is not None else None
        letter_id = str(UUID(bytes=hashlib.sha256(raw).digest()[:16]))
        letter = partial(self._letter, letter_id, raw, queue, error, task)
        self._bury(letter, message_id=booked_as, whole=True, part=part)
        if is_kept is not None and not is_kept():
            raise StoreUnavailableError("Another Redis is the master now.")

    def bury_record(self, event_id: str, raw: bytes, error: Exception) -> None:
        """Keep a waiting retry that cannot be read, under its event's id."""
        self._bury(partial(self._letter, event_id, raw, "", error, ""), message_id="", whole=False, part=None)

    def bury_retry(self, record: RetryRecord, error: Exception) -> None:
        """Keep a waiting retry that could not be tried, under its event's id and with its attempts."""

        def write(now: str) -> DeadLetter:
            """The dead letter of the record, of that moment."""
            return DeadLetter(
                letter_id=record.event_id,
                task=record.task,
                queue=record.queue,
                envelope=record.envelope,
                failure=describe(error, Stage.MESSAGE),
                attempts=record.attempts,
                addresses=record.addresses,
                buried_at=now,
                worker=short_name(),
                release=self._release,
            )

        self._bury(write, message_id="", whole=False, part=None)

    def _bury(
        self, write: Callable[[str], DeadLetter], *, message_id: str, whole: bool, part: Sequence[str] | None
    ) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                letter = write(self._clock.now().isoformat())
                self._dead_letters.bury([letter], message_id=message_id, whole=whole, part=part)
                break
            except StoreError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(WAIT_S)
        logger.error(
            "bridge.message.quarantined letter_id=%s queue=%s error=%s: %s",
            letter.letter_id,
            letter.queue,
            letter.failure.error_class,
            letter.failure.message,
        )

    def _letter(self, letter_id: str, raw: bytes, queue: str, error: Exception, task: str, now: str) -> DeadLetter:
        failure = describe(error, Stage.MESSAGE)
        return DeadLetter(
            letter_id=letter_id,
            task=task,
            queue=queue,
            envelope="",
            failure=failure,
            attempts=(Attempt(number=1, at=now, failure=failure),),
            buried_at=now,
            worker=short_name(),
            release=self._release,
            raw=raw[:RAW_KEPT_MAX],
            cut_from=f"{len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()}" if len(raw) > RAW_KEPT_MAX else "",
        )
