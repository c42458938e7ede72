"""The accounting: the messages on their way, the balance and the other figures; and the log of operations."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast
from uuid import UUID

import msgspec
import redis

from bridge.model.accounting import Balance, OpenMessage, Recent, Summary
from bridge.model.bounds import PARSER_ERRORS
from bridge.model.errors import StoreError
from bridge.model.log_entry import LogEntry
from bridge.ports.store import Figures, WrongKey
from bridge.redis_adapter.client import is_number, keyspace_of, moment_ms, numbers, store_errors, text
from bridge.redis_adapter.errors import is_strangers
from bridge.redis_adapter.keyspace import Keyspace
from bridge.redis_adapter.reports import read_gateways, read_producer, read_recent, read_worker
from bridge.redis_adapter.script import Call, OfStore, as_hash, look, script
from bridge.redis_adapter.task_queue import ID_BYTES, entry
from bridge.settings import RetentionSettings

SCAN_COUNT = 500
STRANGE_MAX = 3
"""Fields of a key that are named, of those that strangers wrote."""
ENTRIES_MAX = 10_000
"""Entries that the log of operations keeps."""
PROBE_LIFE_MS = 1
STARTS_LIFE_S = 86_400
"""Start counts are forgotten this long after their last change; messages that came back are done long before."""
_NO_POSITION = "text that is no position"
_HOLDS = {"zset": "sorted set"}
_WANTS = {**_HOLDS, "string": "position"}
"""What a key holds, where Redis' word for its type says less."""
_is_position = re.compile(rb"[0-9]{1,16}-[0-9]{1,20}").fullmatch


def read_balance(client: redis.Redis, keys: Keyspace | None = None) -> Balance:
    """Read the accounting in one moment; under the client's keys, if none are given."""
    keys = keys or keyspace_of(client)
    raw, retrying, letters = look(
        client, ("HGETALL", keys.COUNTS), ("HLEN", keys.RETRY_RECORDS), ("HLEN", keys.DEAD_LETTERS)
    )
    return Balance.of(numbers(as_hash(raw).items()), retrying=retrying, letters=letters)


_head_of_record = re.compile(rb"[0-9]{1,14} [^ \n]+ [^ \n]+\n").match


def _is_record(record: bytes) -> bool:
    """Whether it is one of ours. What a stranger wrote is passed over: no event is in it."""
    head = _head_of_record(record)
    return head is not None and not (len(record) - head.end()) % ID_BYTES


class Ledger(OfStore):
    """``bridge.ports.Accounting`` on Redis. Every event leaves in the script that ends it."""

    def __init__(self, client: redis.Redis, settings: RetentionSettings) -> None:
        super().__init__(client)
        self._mark_life_s = settings.seen_life_s

    def book(self, message_id: str, task: str, queue: str, event_ids: Sequence[UUID]) -> None:
        """Enter a message once: a mark of its own, which lives as long as a seen mark, makes it idempotent."""
        ids = b"".join(event_id.bytes for event_id in event_ids)
        arguments = (message_id, entry(task, queue, ids), len(event_ids), self._mark_life_s)
        self._run("book", arguments, booked=self._keys.booked(message_id))

    def write_off(self, messages: Sequence[OpenMessage], *, who: str, reason: str) -> int:
        """One script call, which blocks Redis for all messages given: a few hundred at a time."""
        arguments: list[str | int | bytes] = [ENTRIES_MAX, who, reason]
        for message in messages:
            arguments += (message.message_id, len(message.event_ids), *map(str, message.event_ids))
        return int(self._run("write_off", arguments))

    def unfinished(self, message_id: str, event_ids: Collection[str]) -> frozenset[str]:
        """One HGET: those ids that are left in the message's record."""
        with store_errors():
            record = cast("bytes | None", self._client.hget(self._keys.OPEN, message_id))
        is_ours = record is not None and _is_record(record)
        waiting = set(map(str, read_record(message_id, record).event_ids)) if record and is_ours else set()
        return frozenset(waiting.intersection(event_ids))

    def balance(self) -> Balance:
        """As ``read_balance``."""
        return read_balance(self._client)

    @property
    def open_key(self) -> str:
        """Where the messages on their way are written down, for a script that moves some."""
        return self._keys.OPEN

    def note_moved(self, queue: str, book_ids: Sequence[str]) -> None:
        """Messages were moved to this queue of another broker. Idempotent."""
        pairs = [word for book_id in book_ids for word in ("", book_id)]
        with store_errors():
            script("requeue").send(self._client, Call([self._keys.OPEN], [queue, *pairs]))

    def summaries(self) -> Iterator[Summary]:
        """HSCAN through all records, SCAN_COUNT at a time."""
        for message_id, record in self._records():
            accepted_ms, _, queue, ids = _parts(record)
            yield Summary(text(message_id), accepted_ms, queue, len(ids) // ID_BYTES)

    def get(self, message_ids: Sequence[str]) -> list[OpenMessage]:
        """One HMGET; messages of which nothing is in flight are left out."""
        if not message_ids:
            return []
        with store_errors():
            records = cast("list[bytes | None]", self._client.hmget(self._keys.OPEN, list(message_ids)))
        found = zip(message_ids, records, strict=True)
        return [read_record(name, record) for name, record in found if record and _is_record(record)]

    def holding(self, event_id: UUID) -> list[OpenMessage]:
        """Looks through all records, which are not decoded unless the id's 16 bytes occur in one."""
        found = [
            read_record(text(message_id), record) for message_id, record in self._records() if event_id.bytes in record
        ]
        # Its bytes may also lie across the ids of two others; and a scan may show a message twice.
        return list({message.message_id: message for message in found if event_id in message.event_ids}.values())

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        cursor = 0
        while True:
            with store_errors():
                answer = self._client.hscan(self._keys.OPEN, cursor, count=SCAN_COUNT)
            cursor, records = cast("tuple[int, dict[bytes, bytes]]", answer)
            yield from ((message_id, record) for message_id, record in records.items() if _is_record(record))
            if not cursor:
                return


def _parts(record: bytes) -> tuple[int, str, str, bytes]:
    head, _, ids = record.partition(b"\n")
    accepted_ms, task, queue = text(head).split(" ")
    return int(accepted_ms), task, queue, ids


def read_record(message_id: str, record: bytes) -> OpenMessage:
    """A message from its record."""
    accepted_ms, task, queue, ids = _parts(record)
    return OpenMessage(
        message_id=message_id,
        accepted_ms=accepted_ms,
        task=task,
        queue=queue,
        event_ids=tuple(UUID(bytes=ids[at : at + ID_BYTES]) for at in range(0, len(ids), ID_BYTES)),
    )


class StoreOverview(OfStore):
    """``bridge.ports.Overview`` on Redis."""

    def wrong_keys(self) -> tuple[WrongKey, ...]:
        with store_errors():
            return wrong_keys(self._client, self._keys.kinds, self._keys.spared)

    def read(self) -> Figures:
        """Three round trips, and a fourth if events died lately; they are not of one moment."""
        wrong = self.wrong_keys()
        keys = self._keys.without([key.name for key in wrong])
        hashes = (keys.COUNTS, keys.METRICS, keys.GATEWAYS, keys.WORKERS, keys.PRODUCERS)
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.zrange(keys.RETRY_DUE, 0, 0, withscores=True)
            pipeline.zrange(keys.DEAD_INDEX, 0, 0, withscores=True)
            pipeline.zrange(keys.DEAD_INDEX, -1, -1, withscores=True)
            pipeline.zcard(keys.DEAD_INDEX)
            pipeline.lrange(keys.RECENT, 0, -1)
            pipeline.get(keys.POSITION)
            pipeline.zcard(keys.WITHDRAWALS)
            pipeline.zrange(keys.WITHDRAWALS, -1, -1, withscores=True)
            for key in hashes:
                pipeline.hgetall(key)
            time, due, oldest, newest, letters, samples, position, withdrawn, last, *held = pipeline.execute()
        counts, metrics, gateways, *_ = held
        now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
        known = numbers(counts.items())
        return Figures(
            at_ms=now_ms,
            retry_next_ms=_score(due),
            dead_oldest_ms=_score(oldest),
            dead_newest_ms=_score(newest),
            letters=letters,
            letters_bytes=known.get("dead_bytes", 0),
            metrics=numbers(metrics.items()),
            gateways=read_gateways(gateways, now_ms),
            recent=self._mended(read_recent(samples, known, now_ms), keys),
            balance=read_balance(self._client, keys),
            withdrawn=withdrawn,
            withdrawn_newest_ms=_score(last),
            wrong_keys=(*wrong, *_strange_fields(keys, dict(zip(hashes, held, strict=True)))),
            clock_behind_s=max(0, moment_ms(position.partition(b"-")[0]) - now_ms) / 1000 if position else 0.0,
        )

    def write_refusal(self) -> StoreError | None:
        """Tries it: writes a key that lives for PROBE_LIFE_MS."""
        try:
            with store_errors():
                self._client.set(self._keys.PROBE, 1, px=PROBE_LIFE_MS)
        except StoreError as error:
            return error
        return None

    def _mended(self, recent: Recent, keys: Keyspace) -> Recent:
        if not recent.dead:
            return recent
        with store_errors():
            return recent.remaining(int(self._client.zcount(keys.DEAD_INDEX, recent.since_ms, "+inf")))


def wrong_keys(client: redis.Redis, kinds: Mapping[str, str], spared: Collection[str] = ()) -> tuple[WrongKey, ...]:
    """Which of these keys are there and of another type, or are to hold a position and hold none.

    Raises:
        redis.RedisError: the server is away or refuses.
    """
    texts = [key for key, wants in kinds.items() if wants == "string"]
    with client.pipeline(transaction=False) as pipeline:
        for key in kinds:
            pipeline.type(key)
        for key in texts:
            pipeline.mget(key)  # nothing of what is no text
        answers = pipeline.execute()
    holds = dict(zip(kinds, map(text, answers), strict=False))
    for key, (value,) in zip(texts, answers[len(kinds) :], strict=True):
        if value is not None and not _is_position(value):
            holds[key] = _NO_POSITION
    return tuple(
        WrongKey(name=key, holds=_HOLDS.get(found, found), wants=_WANTS.get(wants, wants), spared=key in spared)
        for key, wants in kinds.items()
        if (found := holds[key]) not in ("none", wants)
    )


def _strange_fields(keys: Keyspace, held: Mapping[str, Mapping[bytes, bytes]]) -> Iterator[WrongKey]:
    """Fields of these hashes that no process of ours wrote, up to STRANGE_MAX a key; ``held`` is what each holds."""
    kinds = (
        (keys.COUNTS, "number", lambda value: is_number(text(value))),
        (keys.METRICS, "number", lambda value: is_number(text(value))),
        (keys.GATEWAYS, "report", lambda value: read_gateways({b"": value}, 0).processes),
        (keys.WORKERS, "report", lambda value: read_worker("", value, 0)),
        (keys.PRODUCERS, "report", read_producer),
    )
    for key, wants, read in kinds:
        strange = (text(name) for name, value in held.get(key, {}).items() if not read(value))
        until = {"until": "a worker has counted it anew"} if key == keys.COUNTS else {}
        for name in islice(strange, STRANGE_MAX):
            holds = f"what is no {wants}"
            yield WrongKey(name=key, field=name, holds=holds, wants=wants, spared=True, **until)


def _score(entries: Any) -> float | None:
    return float(entries[0][1]) if entries else None


class Starts(OfStore):
    """``bridge.ports.StartCounts`` on Redis: they tell poison messages from the ones claimed beside them."""

    def add(self, message_id: str) -> int:
        """One transaction; the tally of all messages lives STARTS_LIFE_S from now."""
        with store_errors(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hincrby(self._keys.STARTS, message_id, 1)
            pipeline.expire(self._keys.STARTS, STARTS_LIFE_S)
            times, _ = pipeline.execute()
        return int(times)

    def take_back(self, message_id: str) -> None:
        """Count one start less. Not idempotent."""
        with store_errors():
            self._client.hincrby(self._keys.STARTS, message_id, -1)

    def forget(self, message_id: str) -> None:
        """Forget a message that is done. Idempotent."""
        with store_errors():
            self._client.hdel(self._keys.STARTS, message_id)


class Tally(OfStore):
    """``bridge.ports.Metrics`` on Redis, in one round trip: what happened, how often, where no script counts it."""

    def add(self, grown: Sequence[tuple[str, int]]) -> None:
        """Let numbers grow. Not idempotent: after a lost answer some may have grown."""
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            for field, number in grown:
                pipe.hincrby(self._keys.METRICS, field, number)
            for answer in pipe.execute(raise_on_error=False):
                # No event waits for its numbers, where strangers wrote; whoever watches the keys tells of it.
                if isinstance(answer, Exception) and not is_strangers(answer):
                    raise answer


class OperationsLog(OfStore):
    """``bridge.ports.OperationsLog`` on Redis."""

    def append(self, entry: LogEntry) -> None:
        """Dated by Redis; the oldest beyond about ENTRIES_MAX fall off. Not idempotent."""
        fields: dict[str, str | bytes] = {
            "who": entry.who,
            "action": entry.action,
            "selection": entry.selection,
            "numbers": msgspec.json.encode(entry.numbers),
            "reason": entry.reason,
        }
        words: list[str | bytes] = [word for name, value in fields.items() for word in (name, value)]
        self._run("log", [ENTRIES_MAX, *words])

    def newest(self, limit: int = 100) -> list[LogEntry]:
        """One XREVRANGE, newest first."""
        with store_errors():
            reply = self._client.xrevrange(self._keys.OPERATIONS_LOG, count=limit)
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", reply)
        return [
            _read_entry(text(position), {text(name): text(value) for name, value in fields.items()})
            for position, fields in entries
        ]


def _read_entry(position: str, fields: dict[str, str]) -> LogEntry:
    try:
        counted = msgspec.json.decode(fields.get("numbers") or "{}", type=dict[str, int])
    except PARSER_ERRORS:  # a stranger's entry
        counted = {}
    return LogEntry(
        at_ms=moment_ms(position.partition("-")[0]),
        who=fields.get("who", ""),
        action=fields.get("action", ""),
        selection=fields.get("selection", ""),
        numbers=counted,
        reason=fields.get("reason", ""),
    )
