"""``Retries``: listing and grouping waiting retries, trying them now, and giving up their waiting."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import redis

from bridge.model.pipeline.root_cause import Cause, cause_of
from bridge.model.registry import Registry
from bridge.operations import log
from bridge.operations.groups import Group, Grouping
from bridge.operations.known import resolve
from bridge.operations.letters import chunks, mask_envelope
from bridge.operations.selection import Selection, facts_of
from bridge.redis_adapter import Cursor, DeadLetter, DeadLetters, RetryRecord, StoreClock
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.retry_queue import LEASE_S, read_retry
from bridge.redis_adapter.script import script
from bridge.settings import Settings

CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A waiting retry.

    Attributes:
        record: the event and its failed attempts.
        due_ms: when it is tried again, in ms of Redis time.
        taken: it is being tried: on its queue or in a worker's hands. ``now`` and ``cancel`` leave it alone.
    """

    record: RetryRecord
    due_ms: int
    taken: bool

    def as_dict(self, *, payloads: bool) -> dict[str, Any]:
        """JSON values; without ``payloads`` the event's content is masked."""
        values: dict[str, Any] = msgspec.to_builtins(self.record)
        envelope = self.record.envelope if payloads else mask_envelope(self.record.envelope)
        return {**values, "envelope": envelope, "due_ms": self.due_ms, "taken": self.taken}


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPage:
    """A page of the list, next due first; ``next`` is None behind the last page."""

    retries: tuple[Waiting, ...]
    next: Cursor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Touched:
    """What came of ``now`` or ``cancel``: retries changed, and those left alone as they are being tried."""

    changed: int
    taken: int


class Retries:
    """What operators do with waiting retries.

    Args:
        client: of the store; stays yours to close.
        settings: of the bridge.
    """

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._dead = DeadLetters(client, settings)
        self._clock = StoreClock(client)
        self._touch = script("retry_touch")

    # Reading

    def count(self) -> int:
        """How many events wait or are being tried again.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            return int(self._client.zcard(self._keys.RETRY_DUE))

    def show(self, event_id: str) -> Waiting | None:
        """One retry; None if there is none.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            due = self._client.zscore(self._keys.RETRY_DUE, event_id)
        return next(iter(self._read([(event_id, due)])), None) if due is not None else None

    def resolve(self, selection: Selection, registry: Registry) -> Selection:
        """A selection of which each value may match a waiting retry; see ``known.resolve``.

        Raises:
            SettingsError: a value is unknown; names the near one.
            StoreError: Redis is away or refuses.
        """
        return resolve(selection, registry, lambda: (waiting.record for waiting in self._walk()))

    def page(self, selection: Selection, *, cursor: Cursor | None = None, limit: int = 50) -> RetryPage:
        """A page of retries, next due first.

        Args:
            selection: resolved against the registry.
            cursor: ``RetryPage.next`` of the page before; None for the first.
            limit: retries on the page, 1 or more.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        found: list[Waiting] = []
        for waiting in self._walk(cursor):
            if selection.matches(waiting.record):
                if len(found) == limit:
                    last = found[-1]
                    at_ms = last.due_ms + (0.5 if last.taken else 0)
                    return RetryPage(retries=tuple(found), next=Cursor(at_ms=at_ms, letter_id=last.record.event_id))
                found.append(waiting)
        return RetryPage(retries=tuple(found), next=None)

    def ids(self, selection: Selection) -> list[str]:
        """The ids of all retries that match: a snapshot, as what is changed moves in the order of due times.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        return [waiting.record.event_id for waiting in self._walk() if selection.matches(waiting.record)]

    def groups(self, selection: Selection) -> tuple[Group, ...]:
        """The retries that match by the cause of their last failure, largest group first.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        causes: dict[str, Cause] = {}
        now_ms = int(self._clock.now_s() * 1000)
        grouping = Grouping(first_ms=max(selection.since_ms, now_ms - 3_600_000), last_ms=now_ms)
        for waiting in self._walk():
            facts = facts_of(waiting.record)
            if selection.matches(facts):
                causes.setdefault(facts.group, cause_of(waiting.record.attempts[-1].failure))
                grouping.add(facts)
        return grouping.finish(causes)

    # Acting

    def now(self, selection: Selection, *, who: str = "") -> Touched:
        """Make retries due at once. Those that are being tried are left alone.

        Raises:
            StoreUnavailableError: Redis is away; some may be due, and calling again completes it.
        """
        return self._act("retries.now", selection, who, "", lambda part: len(self._changed(part, after_ms="0")))

    def cancel(self, selection: Selection, *, reason: str = "", who: str = "") -> Touched:
        """Bury retries as dead letters: nothing is thrown away, and ``dead discard`` does that with a reason.

        Those that are being tried are left alone. An event keeps its attempts and its last failure.

        Raises:
            StoreUnavailableError: Redis is away; some may be buried, and calling again completes it.
        """
        return self._act("retries.cancel", selection, who, reason, self._bury)

    def _act(self, action: str, selection: Selection, who: str, reason: str, act: Any) -> Touched:
        changed = met = 0
        for part in chunks(self.ids(selection), CHUNK):
            met += len(part)
            changed += act(part)
        numbers = {"changed": changed, "taken": met - changed}
        log.append(
            self._client,
            log.LogEntry(
                who=who or log.who_am_i(), action=action, selection=str(selection), numbers=numbers, reason=reason
            ),
        )
        return Touched(changed=changed, taken=met - changed)

    def _changed(self, event_ids: Sequence[str], *, after_ms: str) -> list[str]:
        with store_errors():
            changed = self._touch.run(self._client, [after_ms, *event_ids])
        return [text(event_id) for event_id in changed]

    def _bury(self, event_ids: Sequence[str]) -> int:
        """Take them as a mover would, so that none does meanwhile; if this process dies, they are tried again."""
        taken = self._changed(event_ids, after_ms=f"{LEASE_S * 1000 + 0.5}")
        records = [waiting.record for waiting in self._read([(event_id, 0.0) for event_id in taken])]
        now = self._clock.now().isoformat()
        by_task: dict[str, list[DeadLetter]] = {}
        for record in records:
            by_task.setdefault(record.task, []).append(_letter(record, now))
        for letters in by_task.values():
            self._dead.bury(letters)
        return len(records)

    # Walking

    def _walk(self, cursor: Cursor | None = None) -> Iterator[Waiting]:
        """All retries in the order of due time and id, behind a cursor."""
        last = None if cursor is None else (cursor.at_ms, cursor.letter_id)
        low, offset = "-inf" if last is None else repr(last[0]), 0
        while True:
            with store_errors():
                entries: Any = self._client.zrange(
                    self._keys.RETRY_DUE,
                    low,
                    "+inf",
                    byscore=True,
                    offset=offset,
                    num=CHUNK,
                    withscores=True,
                )
            known = [(text(event_id), float(due)) for event_id, due in entries]
            yield from self._read([(name, due) for name, due in known if last is None or (due, name) > last])
            if len(known) < CHUNK:
                return
            # On from the last due time, not by rank: what is settled meanwhile would shift the ranks.
            last_due = repr(known[-1][1])
            low, offset = last_due, (offset + CHUNK if last_due == low else 0)
            last = (known[-1][1], known[-1][0])

    def _read(self, entries: Iterable[tuple[str, float]]) -> Iterator[Waiting]:
        known = list(entries)
        if not known:
            return
        with store_errors():
            values = self._client.hmget(self._keys.RETRY_RECORDS, [event_id for event_id, _ in known])
        for (_, due), value in zip(known, values, strict=True):
            record = None if value is None else read_retry(value)
            if record is not None:
                yield Waiting(record=record, due_ms=int(due), taken=due % 1 != 0)


def _letter(record: RetryRecord, now: str) -> DeadLetter:
    return DeadLetter(
        letter_id=record.event_id,
        task=record.task,
        queue=record.queue,
        envelope=record.envelope,
        failure=record.attempts[-1].failure,
        attempts=record.attempts,
        user_id=record.user_id,
        buried_at=now,
        worker=log.who_am_i(),
        release="",
    )
