"""Dead letters: what did not succeed by itself, kept for a person, with its cause and its bytes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import redis
from msgspec.structs import force_setattr

from bridge.model.bounds import PARSER_ERRORS
from bridge.model.pipeline import Failure
from bridge.model.pipeline.addressee import user_in
from bridge.model.pipeline.root_cause import cause_of
from bridge.model.plain_text import plain_logger
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.retry_queue import Attempt
from bridge.redis_adapter.script import script
from bridge.settings import Settings

logger = plain_logger(__name__)

PAGE = 200
LOOK_MAX = 1000
"""Letters that one script call looks at: each costs Redis about 2 µs."""
EVICTED = "raise BRIDGE_DEAD_MAX, BRIDGE_DEAD_MAX_BYTES or BRIDGE_DEAD_TTL_S, or redrive or discard dead letters."
UNREADABLE = "unreadable"
"""The group of letters that this release cannot read."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that needs a person.

    Attributes:
        letter_id: the event's id, or one derived from its bytes when it has none.
        task: the Celery task that gave up.
        queue: where that task's messages go.
        envelope: what came in; JSON.
        failure: the final cause.
        attempts: every failed try, oldest first, the final one included.
        buried_at: RFC 3339, UTC, by Redis' clock.
        worker: which worker gave up.
        release: version of the bridge that gave up.
        raw: the bytes that stood on the queue, where they were no message that Celery can run; then
            ``envelope`` is empty.
        cut_from: size and digest of what ``raw`` is only the beginning of; empty if it is all.
        replay: the replay in which it died again; empty if it was never replayed since it was first buried.
        group: of its cause; made from the failure.
        user_id: whom the event names, as its mapping says; where nobody could tell, the envelope's ``data.user_id``.
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
    cut_from: str = ""
    replay: str = ""
    group: str = ""
    user_id: str = ""

    def __post_init__(self) -> None:
        if not self.group:
            force_setattr(self, "group", cause_of(self.failure).group)
        if not self.user_id:
            force_setattr(self, "user_id", user_in(self.envelope))


class LetterHead(msgspec.Struct, kw_only=True, gc=False):
    """What a search needs to know of a letter; read without the rest.

    Attributes:
        letter_id: its id.
        group: of its cause.
        user_id: whom its event names; empty if nobody.
        task: that gave up.
        queue: where that task's messages go.
        stage: where its event failed.
        error_class: of the failure.
        replay: the replay in which it died again.
        buried_ms: when it was buried, in ms of Redis time; that is in the index.
    """

    letter_id: str
    group: str = ""
    user_id: str = ""
    task: str = ""
    queue: str = ""
    stage: str = ""
    error_class: str = ""
    replay: str = ""
    buried_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """A place in the order of burial, which stays where it is while letters come and go."""

    at_ms: float
    letter_id: str

    def __str__(self) -> str:
        return f"{self.at_ms:.1f}:{self.letter_id}".replace(".0:", ":")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Reads ``str(cursor)``.

        Raises:
            ValueError: it is none.
        """
        place, _, letter_id = text.partition(":")
        at_ms = float(place)
        if not math.isfinite(at_ms):
            raise ValueError(f"{place} is no time")
        return cls(at_ms=at_ms, letter_id=letter_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """Letters found by one look.

    Attributes:
        found: id, burial in ms, and JSON of each letter, or of its head.
        cursor: where to go on.
        more: whether there is anything behind the cursor.
    """

    found: tuple[tuple[str, int, bytes], ...]
    cursor: Cursor | None
    more: bool


class DeadLetters:
    """Bury letters, within ``dead_max``, ``dead_max_bytes`` and ``dead_ttl_s``, and read them."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._limits = (settings.dead_max, settings.dead_max_bytes, settings.dead_ttl_s * 1000)
        self._bury = script("bury")
        self._page = script("dead_page")

    def bury(
        self,
        letters: Sequence[DeadLetter],
        *,
        message_id: str = "",
        whole: bool = False,
        part: Sequence[str] | None = None,
        event_type: str = "",
        only_unfinished: bool = False,
    ) -> int:
        """Keep letters and end the retries of their events. Idempotent by letter id.

        Args:
            letters: to keep.
            message_id: of the message in the books that brought them; empty if they came from elsewhere.
            whole: there is one letter, and it holds the whole message.
            part: with ``whole``: the message was taken apart, and the letter holds these events of it only.
            event_type: of the events, for the metrics; empty if unknown.
            only_unfinished: leave alone what, by the books, has ended meanwhile.

        Returns:
            How many old letters were evicted to stay within the bounds; that is logged.

        Raises:
            StoreUnavailableError: Redis is away or refuses writes.
        """
        what = int(whole) if part is None else " " + " ".join(part)
        args: list[str | int | bytes] = [*self._limits, message_id, what, event_type, int(only_unfinished)]
        for letter in letters:
            args += (letter.letter_id, msgspec.json.encode(letter), msgspec.json.encode(head_of(letter)))
        with store_errors():
            evicted = int(self._bury.run(self._client, args))
        if evicted:
            logger.error("bridge.dead_letters.evicted letters=%d: %s", evicted, EVICTED)
        return evicted

    def get(self, letter_id: str) -> DeadLetter | None:
        """One letter.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            value = self._client.hget(self._keys.DEAD_LETTERS, letter_id)
        return None if value is None else _read(value)

    def history(self, letter_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """The failed attempts of those of the letters that there are.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            values = self._client.hmget(self._keys.DEAD_LETTERS, list(letter_ids)) if letter_ids else []
        return {
            letter_id: _read(value).attempts
            for letter_id, value in zip(letter_ids, values, strict=True)
            if value is not None
        }

    def look(
        self,
        *,
        cursor: Cursor | None = None,
        newest_first: bool = True,
        between_ms: tuple[int, int],
        conditions: Sequence[Sequence[str]] = (),
        take: int = LOOK_MAX,
        heads: bool = False,
    ) -> Glance:
        """Look at up to LOOK_MAX letters behind a cursor.

        Args:
            cursor: of the look before; None to begin.
            newest_first: the order of burial.
            between_ms: earliest and latest burial, in ms of Redis time.
            conditions: each is a choice of texts, one of which must occur in the head's JSON.
            take: letters to return at the most.
            heads: return heads instead of letters.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        args: list[str | float] = [
            "new" if newest_first else "old",
            "" if cursor is None else cursor.at_ms,
            "" if cursor is None else cursor.letter_id,
            *between_ms,
            LOOK_MAX,
            take,
            "head" if heads else "whole",
        ]
        for words in conditions:
            args += (len(words), *words)
        with store_errors():
            more, at_ms, letter_id, *found = self._page.run(self._client, args)
        return Glance(
            found=tuple(zip(map(text, found[::3]), map(int, map(float, found[1::3])), found[2::3], strict=True)),
            cursor=Cursor(at_ms=int(float(at_ms)), letter_id=text(letter_id)) if at_ms else None,
            more=bool(more),
        )

    def heads(
        self, *, newest_first: bool = False, between_ms: tuple[int, int], conditions: Sequence[Sequence[str]] = ()
    ) -> Iterator[LetterHead]:
        """The heads of all letters, look by look; one that is buried again meanwhile may be missed.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        cursor, more = None, True
        while more:
            glance = self.look(
                cursor=cursor, newest_first=newest_first, between_ms=between_ms, conditions=conditions, heads=True
            )
            cursor, more = glance.cursor, glance.more
            for letter_id, at_ms, head in glance.found:
                yield _read_head(letter_id, at_ms, head)

    def get_many(self, letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        """Those of the letters that there are and that this release can read.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            values = self._client.hmget(self._keys.DEAD_LETTERS, list(letter_ids)) if letter_ids else []
        found = {}
        for letter_id, value in zip(letter_ids, values, strict=True):
            letter = None if value is None else read_letter(value)
            if letter is not None:
                found[letter_id] = letter
        return found

    def newest_first(self) -> Iterator[DeadLetter]:
        """Every letter that this release can read, page by page; one buried meanwhile may be missed or seen twice.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        start = 0
        while True:
            with store_errors():
                ids = cast("list[bytes]", self._client.zrevrange(self._keys.DEAD_INDEX, start, start + PAGE - 1))
                values = self._client.hmget(self._keys.DEAD_LETTERS, ids) if ids else []
            letters = (read_letter(value) for value in values if value is not None)
            yield from (letter for letter in letters if letter is not None)
            if len(ids) < PAGE:
                return
            start += PAGE

    def count(self) -> int:
        """How many letters there are.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            return int(self._client.zcard(self._keys.DEAD_INDEX))


def read_letter(value: bytes | str) -> DeadLetter | None:
    """The letter; None if it was damaged, or written by a release that this one does not understand."""
    try:
        return _read(value)
    except PARSER_ERRORS:
        return None


def head_of(letter: DeadLetter) -> LetterHead:
    """What a search looks at."""
    return LetterHead(
        letter_id=letter.letter_id,
        group=letter.group,
        user_id=letter.user_id,
        task=letter.task,
        queue=letter.queue,
        stage=letter.failure.stage.value,
        error_class=letter.failure.error_class,
        replay=letter.replay,
    )


_head_decoder = msgspec.json.Decoder(LetterHead)


def _read_head(letter_id: str, at_ms: int, head: bytes) -> LetterHead:
    try:
        known = _head_decoder.decode(head)
        known.buried_ms = at_ms
    except PARSER_ERRORS:
        return LetterHead(letter_id=letter_id, group=UNREADABLE, buried_ms=at_ms)
    return known


def _read(value: bytes | str) -> DeadLetter:
    return msgspec.json.decode(text(value), type=DeadLetter)
