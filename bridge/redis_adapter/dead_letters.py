"""``DeadLetters``: what did not succeed by itself, kept for a person within bounds."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import msgspec
import redis

from bridge.model.dead_letter import (
    LOOK_MAX,
    Cursor,
    DeadLetter,
    Found,
    Glance,
    LetterHead,
    Tombstone,
    head_of,
    read_head,
    read_letter,
    unreadable,
)
from bridge.model.plain_text import plain_logger
from bridge.model.retry import Attempt
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import script
from bridge.settings import AccountingSettings

logger = plain_logger(__name__)

TOMBSTONES_MAX = 100_000
EVICTED = "raise BRIDGE_DEAD_MAX, BRIDGE_DEAD_MAX_BYTES or BRIDGE_DEAD_TTL_S, or redrive or discard dead letters."


class _Look(NamedTuple):
    """One answer of ``dead_page.lua``: id, burial in ms, and JSON of each letter, or of its head."""

    found: tuple[tuple[str, int, bytes], ...]
    cursor: Cursor | None
    more: bool


class DeadLetters:
    """``bridge.ports.DeadLetters`` on Redis, within ``dead_max``, ``dead_max_bytes`` and ``dead_ttl_s``."""

    def __init__(self, client: redis.Redis, settings: AccountingSettings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._limits = (settings.dead_max, settings.dead_max_bytes, settings.dead_ttl_s * 1000)
        self._bury = script("bury")
        self._page = script("dead_page")
        self._discard = script("discard")

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
        what = int(whole) if part is None else " " + " ".join(part)
        args: list[str | int | bytes] = [*self._limits, message_id, what, event_type, int(only_unfinished)]
        for letter in letters:
            args += (letter.letter_id, msgspec.json.encode(letter), msgspec.json.encode(head_of(letter)))
        with store_errors():
            evicted = int(self._bury.run(self._client, args))
        if evicted:
            logger.error("bridge.dead_letters.evicted letters=%d: %s", evicted, EVICTED)
        return evicted

    def history(self, letter_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        found = {}
        for letter_id, value in self._values(letter_ids):
            letter = read_letter(value)
            found[letter_id] = letter.attempts if letter else ()
        return found

    def look(
        self,
        *,
        cursor: Cursor | None = None,
        newest_first: bool = True,
        between_ms: tuple[int, int],
        conditions: Sequence[Sequence[str]] = (),
        take: int = LOOK_MAX,
    ) -> Glance:
        look = self._look("whole", cursor, newest_first, between_ms, conditions, take)
        return Glance(
            found=tuple(
                Found(letter_id, at_ms, read_letter(value) or unreadable(letter_id, value))
                for letter_id, at_ms, value in look.found
            ),
            cursor=look.cursor,
            more=look.more,
        )

    def heads(
        self, *, newest_first: bool = False, between_ms: tuple[int, int], conditions: Sequence[Sequence[str]] = ()
    ) -> Iterator[LetterHead]:
        cursor, more = None, True
        while more:
            found, cursor, more = self._look("head", cursor, newest_first, between_ms, conditions, LOOK_MAX)
            for letter_id, at_ms, head in found:
                yield read_head(letter_id, at_ms, head)

    def _look(
        self,
        what: str,
        cursor: Cursor | None,
        newest_first: bool,
        between_ms: tuple[int, int],
        conditions: Sequence[Sequence[str]],
        take: int,
    ) -> _Look:
        args: list[str | float] = [
            "new" if newest_first else "old",
            "" if cursor is None else cursor.at_ms,
            "" if cursor is None else cursor.letter_id,
            *between_ms,
            LOOK_MAX,
            take,
            what,
        ]
        for words in conditions:
            args += (len(words), *words)
        with store_errors():
            more, at_ms, letter_id, *found = self._page.run(self._client, args)
        return _Look(
            found=tuple(zip(map(text, found[::3]), map(int, map(float, found[1::3])), found[2::3], strict=True)),
            cursor=Cursor(at_ms=int(float(at_ms)), letter_id=text(letter_id)) if at_ms else None,
            more=bool(more),
        )

    def get_many(self, letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        found = ((letter_id, read_letter(value)) for letter_id, value in self._values(letter_ids))
        return {letter_id: letter for letter_id, letter in found if letter is not None}

    def _values(self, letter_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        with store_errors():
            values = self._client.hmget(self._keys.DEAD_LETTERS, list(letter_ids)) if letter_ids else []
        for letter_id, value in zip(letter_ids, cast("list[bytes | None]", values), strict=True):
            if value is not None:
                yield letter_id, value

    def count(self) -> int:
        with store_errors():
            return int(self._client.zcard(self._keys.DEAD_INDEX))

    def span_ms(self) -> tuple[int, int]:
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.zrange(self._keys.DEAD_INDEX, 0, 0, withscores=True)
            pipeline.zrange(self._keys.DEAD_INDEX, -1, -1, withscores=True)
            first, last = pipeline.execute()
        return (int(first[0][1]), int(last[0][1])) if first and last else (0, 0)

    def discard(self, tombstones: Sequence[Tombstone], *, redrive: str = "") -> tuple[int, int]:
        args: list[str | int | bytes] = [TOMBSTONES_MAX, redrive]
        for stone in tombstones:
            fields = {"who": stone.who, "reason": stone.reason, "task": stone.task, "error_class": stone.error_class}
            args += (stone.letter_id, msgspec.json.encode(fields))
        with store_errors():
            discarded, in_redrive = self._discard.run(self._client, args)
        return int(discarded), int(in_redrive)
