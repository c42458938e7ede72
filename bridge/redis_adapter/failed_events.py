"""What did not succeed: retries that wait for their next attempt, and letters that wait for a person."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec
import redis

from bridge.model.bounds import PARSER_ERRORS
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
    read_tombstone,
    unreadable,
)
from bridge.model.moments import shown_time
from bridge.model.plain_text import plain_logger
from bridge.model.retry import CLAIM_MAX, LEASE_S, RESEND_S, Attempt, Claim, RetryRecord, WaitingFor, WaitingRetry
from bridge.ports.failed_events import Kept
from bridge.redis_adapter.client import exact_ms, moment_ms, store_errors, text
from bridge.redis_adapter.script import OfStore, look
from bridge.settings import AccountingSettings

logger = plain_logger(__name__)
PAGE = 500
"""Retries that are read at once."""
RETRIES_A_LOOK = 1_000
"""Retries that one script call looks at for their queues …"""
LOOKS_MAX = 100
"""… and how many such calls a thorough look makes."""
TOMBSTONES_MAX = 100_000
EVICTED = "raise BRIDGE_DEAD_MAX, BRIDGE_DEAD_MAX_BYTES or BRIDGE_DEAD_TTL_S, or redrive or discard dead letters."


class RetrySet(OfStore):
    """``bridge.ports.RetryQueue`` on Redis."""

    def __init__(self, client: redis.Redis, settings: AccountingSettings) -> None:
        super().__init__(client)
        self._max = settings.retry_max

    def add(
        self,
        waiting: Sequence[tuple[RetryRecord, float]],
        *,
        message_id: str = "",
        event_type: str = "",
        only_unfinished: bool = False,
    ) -> frozenset[str]:
        """One script call; takes the events out of their message in the same step."""
        args: list[str | int | bytes] = [self._max, message_id, event_type, int(only_unfinished)]
        for record, after_s in waiting:
            args += (record.event_id, record.attempt, int(after_s * 1000), msgspec.json.encode(record))
        return frozenset(map(text, self._run("retry_add", args)))

    def history(self, event_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """One HMGET; records that cannot be read are left out."""
        with store_errors():
            values = self._client.hmget(self._keys.RETRY_RECORDS, list(event_ids)) if event_ids else []
        records = (read_retry(value) for value in values if value is not None)
        return {record.event_id: record.attempts for record in records if record is not None}

    def unfinished(self, event_ids: Sequence[str]) -> frozenset[str]:
        """One HMGET: those that have a record, readable or not."""
        with store_errors():
            values = self._client.hmget(self._keys.RETRY_RECORDS, list(event_ids)) if event_ids else []
        return frozenset(event_id for event_id, value in zip(event_ids, values, strict=True) if value is not None)

    def claim(self, limit: int = CLAIM_MAX) -> Claim:
        """One script call; leases up to ``limit`` for LEASE_S, by Redis' clock."""
        wait_ms, lease, *pairs = self._run("retry_claim", [LEASE_S * 1000, limit])
        found = [
            (text(event_id), value, read_retry(value)) for event_id, value in zip(pairs[::2], pairs[1::2], strict=True)
        ]
        return Claim(
            records=tuple(record for _, _, record in found if record is not None),
            unreadable=tuple((event_id, bytes(value)) for event_id, value, record in found if record is None),
            lease=text(lease),
            next_due_s=None if wait_ms < 0 else wait_ms / 1000,
        )

    def confirm(self, claim: Claim) -> None:
        """One script call; what still has the lease's due time is due again RESEND_S after it."""
        if claim.records:
            ids = [record.event_id for record in claim.records]
            self._run("retry_confirm", [claim.lease, RESEND_S * 1000, *ids])

    def count(self) -> int:
        """One HLEN."""
        with store_errors():
            return int(self._client.hlen(self._keys.RETRY_RECORDS))

    # For operators

    def in_order(self, behind: tuple[float, str] | None = None) -> Iterator[WaitingRetry]:
        """PAGE at a time; of more with one due time some may be missed when others go meanwhile."""
        low, offset = "-inf" if behind is None else repr(behind[0]), 0
        while True:
            with store_errors():
                entries: Any = self._client.zrange(
                    self._keys.RETRY_DUE, low, "+inf", byscore=True, offset=offset, num=PAGE, withscores=True
                )
            known = [(text(event_id), float(due)) for event_id, due in entries]
            yield from self._read([(name, due) for name, due in known if behind is None or (due, name) > behind])
            if len(known) < PAGE:
                return
            # On from the last due time, not by rank: what is settled meanwhile would shift the ranks.
            behind = (known[-1][1], known[-1][0])
            last_due = repr(behind[0])
            low, offset = last_due, (offset + PAGE if last_due == low else 0)

    def by_queue(self, *, thorough: bool = False) -> tuple[WaitingFor, ...]:
        """One script call of RETRIES_A_LOOK; thorough: up to LOOKS_MAX of them, 100,000 retries."""
        found: Counter[tuple[str, str]] = Counter()
        for turn in range(LOOKS_MAX if thorough else 1):
            seen, *kinds = self._run("retry_queues", [turn * RETRIES_A_LOOK, RETRIES_A_LOOK])
            for task, queue, number in zip(kinds[::3], kinds[1::3], kinds[2::3], strict=True):
                found[text(task), text(queue)] += number
            if seen < RETRIES_A_LOOK:
                break
        return tuple(WaitingFor(*kind, number) for kind, number in found.most_common())

    def make_due(self, event_ids: Sequence[str]) -> list[str]:
        """One script call. Idempotent."""
        return self._postpone(event_ids, "0")

    def take(self, event_ids: Sequence[str]) -> list[RetryRecord]:
        """One script call and one HMGET; a half in the due time marks those that are taken."""
        taken = self._postpone(event_ids, f"{LEASE_S * 1000 + 0.5}")
        return [waiting.record for waiting in self._read([(event_id, 0.0) for event_id in taken])]

    def _postpone(self, event_ids: Sequence[str], after_ms: str) -> list[str]:
        return [text(event_id) for event_id in self._run("retry_touch", [after_ms, *event_ids])]

    def _read(self, places: Sequence[tuple[str, float]]) -> Iterator[WaitingRetry]:
        if not places:
            return
        with store_errors():
            values = self._client.hmget(self._keys.RETRY_RECORDS, [event_id for event_id, _ in places])
        for (_, due), value in zip(places, values, strict=True):
            record = None if value is None else read_retry(value)
            if record is not None:
                yield WaitingRetry(record=record, due_ms=moment_ms(due), taken=due % 1 != 0)


def read_retry(value: bytes | str) -> RetryRecord | None:
    """The record; None if it cannot be read."""
    try:
        _, _, record = text(value).partition(":")
        found = msgspec.json.decode(record, type=RetryRecord)
    except PARSER_ERRORS:
        return None
    return found if found.attempts else None


class DeadLetters(OfStore):
    """``bridge.ports.DeadLetters`` on Redis, within ``dead_max``, ``dead_max_bytes`` and ``dead_ttl_s``."""

    def __init__(self, client: redis.Redis, settings: AccountingSettings) -> None:
        super().__init__(client)
        self._limits = (settings.dead_max, settings.dead_max_bytes, settings.dead_ttl_s * 1000)

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
        """One script call, which evicts some thousand letters at most; the next call evicts the rest."""
        what = int(whole) if part is None else " " + " ".join(part)
        args: list[str | int | bytes] = [*self._limits, message_id, what, event_type, int(only_unfinished)]
        for letter in letters:
            args += (letter.letter_id, msgspec.json.encode(letter), msgspec.json.encode(head_of(letter)))
        evicted = int(self._run("bury", args))
        if evicted:
            logger.error("bridge.dead_letters.evicted letters=%d: %s", evicted, EVICTED)
        return evicted

    def history(self, letter_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """One HMGET."""
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
        """One script call, which looks at LOOK_MAX letters at most, whatever matches."""
        met, cursor, more = self._look("whole", cursor, newest_first, between_ms, conditions, take)
        found = (Found(name, at_ms, read_letter(value) or unreadable(name, value)) for name, at_ms, value in met)
        return Glance(found=tuple(found), cursor=cursor, more=more)

    def heads(
        self, *, newest_first: bool = False, between_ms: tuple[int, int], conditions: Sequence[Sequence[str]] = ()
    ) -> Iterator[LetterHead]:
        """A script call for each LOOK_MAX letters."""
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
    ) -> tuple[Iterable[tuple[str, int, bytes]], Cursor | None, bool]:
        """Id, burial in ms and JSON of each letter or head (``what``) met; where to go on; whether there is more."""
        place: tuple[str | float, str] = ("", "") if cursor is None else (cursor.at_ms, cursor.letter_id)
        args = ["new" if newest_first else "old", *place, *between_ms, LOOK_MAX, take, what]
        for words in conditions:
            args += (len(words), *words)
        more, at_ms, letter_id, *found = self._run("dead_page", args)
        place_then = Cursor(at_ms=moment_ms(at_ms), letter_id=text(letter_id)) if at_ms else None
        met = zip(map(text, found[::3]), map(moment_ms, found[1::3]), found[2::3], strict=True)
        return met, place_then, bool(more)

    def get_many(self, letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        """One HMGET; letters that cannot be read are left out."""
        found = ((letter_id, read_letter(value)) for letter_id, value in self._values(letter_ids))
        return {letter_id: letter for letter_id, letter in found if letter is not None}

    def _values(self, letter_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        with store_errors():
            values = self._client.hmget(self._keys.DEAD_LETTERS, list(letter_ids)) if letter_ids else []
        for letter_id, value in zip(letter_ids, cast("list[bytes | None]", values), strict=True):
            if value is not None:
                yield letter_id, value

    def count(self) -> int:
        """One ZCARD."""
        with store_errors():
            return int(self._client.zcard(self._keys.DEAD_INDEX))

    def span_ms(self) -> tuple[int, int]:
        """One round trip."""
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.zrange(self._keys.DEAD_INDEX, 0, 0, withscores=True)
            pipeline.zrange(self._keys.DEAD_INDEX, -1, -1, withscores=True)
            first, last = pipeline.execute()
        return (moment_ms(first[0][1]), moment_ms(last[0][1])) if first and last else (0, 0)

    def discard(self, tombstones: Sequence[Tombstone], *, redrive: str = "") -> tuple[int, int]:
        """One script call; the oldest tombstones beyond TOMBSTONES_MAX fall off. Idempotent."""
        args: list[str | int | bytes] = [TOMBSTONES_MAX, redrive]
        for stone in tombstones:
            fields = {"who": stone.who, "reason": stone.reason, "task": stone.task, "error_class": stone.error_class}
            args += (stone.letter_id, msgspec.json.encode(fields))
        discarded, in_redrive = self._run("discard", args)
        return int(discarded), int(in_redrive)


class KeptEvents(OfStore):
    """``bridge.ports.KeptEvents`` on Redis."""

    def look_up(self, event_id: str) -> Kept:
        """One script call that only reads, so also of a Redis that is full."""
        keys = self._keys
        (seconds, microseconds), record, due, letter, skipped, stone, stone_ms = look(
            self._client,
            ("TIME",),
            ("HGET", keys.RETRY_RECORDS, event_id),
            ("ZSCORE", keys.RETRY_DUE, event_id),
            ("HGET", keys.DEAD_LETTERS, event_id),
            ("ZSCORE", keys.SKIPPED, event_id),
            ("HGET", keys.TOMBSTONES, event_id),
            ("ZSCORE", keys.TOMBSTONE_TIMES, event_id),
        )
        at = "" if stone_ms is None else shown_time(moment_ms(stone_ms))
        return Kept(
            now_ms=int(seconds) * 1000 + int(microseconds) / 1000,
            waits=record is not None,
            retry=None if record is None else read_retry(record),
            due_ms=None if due is None else exact_ms(due),
            letter=None if letter is None else read_letter(letter) or unreadable(event_id, letter),
            skipped_ms=None if skipped is None else moment_ms(skipped),
            tombstone=None if stone is None else read_tombstone(event_id, stone, at),
        )
