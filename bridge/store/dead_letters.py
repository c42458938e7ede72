"""Dead letters: what did not succeed by itself, kept for a person, with its cause and its bytes."""

from collections.abc import Iterator, Sequence
from typing import cast

import msgspec
import redis

from bridge.pipeline import Failure
from bridge.settings import Settings
from bridge.store import keys
from bridge.store.client import script_text, store_errors, text
from bridge.store.retries import Attempt

PAGE = 200


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that needs a person.

    Attributes:
        letter_id: the event's id, or one derived from its bytes when it has none.
        task: the Celery task that gave up.
        queue: where that task's messages go.
        envelope: what came in; JSON.
        failure: the final cause.
        attempts: every failed try, oldest first, the final one included.
        buried_at: RFC 3339, UTC, by the worker's clock.
        worker: which worker gave up.
        release: version of the bridge that gave up.
        raw: the bytes that stood on the queue, where they were no message that Celery can run; then
            ``envelope`` is empty.
        replay: the replay in which it died again; empty if it was never replayed since it was first buried.
    """

    letter_id: str
    task: str
    queue: str
    envelope: str
    failure: Failure
    attempts: tuple[Attempt, ...]
    buried_at: str
    worker: str
    release: str
    raw: bytes = b""
    replay: str = ""


class DeadLetters:
    """Bury letters, within ``dead_max`` and ``dead_ttl_s``, and read them."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._limits = (settings.dead_max, settings.dead_ttl_s * 1000)
        self._bury = client.register_script(script_text("bury"))

    def bury(
        self,
        letters: Sequence[DeadLetter],
        *,
        message_id: str = "",
        whole: bool = False,
        part: Sequence[str] | None = None,
        event_type: str = "",
    ) -> int:
        """Keep letters and end the retries of their events. Idempotent by letter id.

        Args:
            letters: to keep.
            message_id: of the message in the books that brought them; empty if they came from elsewhere.
            whole: there is one letter, and it holds the whole message.
            part: with ``whole``: the message was taken apart, and the letter holds these events of it only.
            event_type: of the events, for the metrics; empty if unknown.

        Returns:
            How many old letters were evicted to stay within the bounds.

        Raises:
            StoreUnavailableError: Redis is away or refuses writes.
        """
        what = int(whole) if part is None else " " + " ".join(part)
        args: list[str | int | bytes] = [*self._limits, message_id, what, event_type]
        for letter in letters:
            args += (letter.letter_id, msgspec.json.encode(letter))
        with store_errors():
            return int(
                self._bury(
                    keys=[
                        keys.DEAD_INDEX,
                        keys.DEAD_LETTERS,
                        keys.COUNTS,
                        keys.RETRY_DUE,
                        keys.RETRY_RECORDS,
                        keys.OPEN,
                        keys.DEAD_WEIGHTS,
                        keys.METRICS,
                    ],
                    args=args,
                )
            )

    def get(self, letter_id: str) -> DeadLetter | None:
        """One letter.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            value = self._client.hget(keys.DEAD_LETTERS, letter_id)
        return None if value is None else _read(value)

    def history(self, letter_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """The failed attempts of those of the letters that there are.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            values = self._client.hmget(keys.DEAD_LETTERS, list(letter_ids)) if letter_ids else []
        return {
            letter_id: _read(value).attempts
            for letter_id, value in zip(letter_ids, values, strict=True)
            if value is not None
        }

    def newest_first(self) -> Iterator[DeadLetter]:
        """Every letter, page by page; one buried meanwhile may be missed or seen twice.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        start = 0
        while True:
            with store_errors():
                ids = cast("list[bytes]", self._client.zrevrange(keys.DEAD_INDEX, start, start + PAGE - 1))
                values = self._client.hmget(keys.DEAD_LETTERS, ids) if ids else []
            yield from (_read(value) for value in values if value is not None)
            if len(ids) < PAGE:
                return
            start += PAGE

    def count(self) -> int:
        """How many letters there are.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            return int(self._client.zcard(keys.DEAD_INDEX))


def _read(value: bytes | str) -> DeadLetter:
    return msgspec.json.decode(text(value), type=DeadLetter)
