"""``Retries``: listing and grouping waiting retries, trying them now, and giving up their waiting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.model.dead_letter import Cursor, DeadLetter
from bridge.model.log_entry import LogEntry
from bridge.model.pipeline.failure import Cause, cause_of
from bridge.model.registry import Registry
from bridge.model.registry.addresses import user_of
from bridge.model.retry import RetryRecord, WaitingRetry
from bridge.operations.groups import Group, Grouping
from bridge.operations.known import resolve
from bridge.operations.letters import chunks, mask_envelope
from bridge.operations.selection import Selection, facts_of
from bridge.ports import Store
from bridge.runtime.identity import who_am_i

CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPage:
    """A page of the list, next due first; ``next`` is None behind the last page."""

    retries: tuple[WaitingRetry, ...]
    next: Cursor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Touched:
    """What came of ``now`` or ``cancel``: retries changed, and those left alone as they are being tried."""

    changed: int
    taken: int


class Retries:
    """What operators do with waiting retries."""

    def __init__(self, store: Store) -> None:
        self._waiting = store.retries
        self._dead = store.dead_letters
        self._clock = store.clock
        self._log = store.log

    # Reading

    def resolve(self, selection: Selection, registry: Registry) -> Selection:
        """A selection of which each value may match a waiting retry; see ``known.resolve``.

        Raises:
            SettingsError: a value is unknown; names the near one.
        """
        return resolve(selection, registry, lambda: (waiting.record for waiting in self._waiting.in_order()))

    def page(self, selection: Selection, *, cursor: Cursor | None = None, limit: int = 50) -> RetryPage:
        """A page of retries, next due first.

        Args:
            selection: resolved against the registry.
            cursor: ``RetryPage.next`` of the page before; None for the first.
            limit: retries on the page, 1 or more.
        """
        found: list[WaitingRetry] = []
        behind = None if cursor is None else (cursor.at_ms, cursor.letter_id)
        for waiting in self._waiting.in_order(behind):
            if selection.matches(waiting.record):
                if len(found) == limit:
                    at_ms, event_id = found[-1].place
                    return RetryPage(retries=tuple(found), next=Cursor(at_ms=at_ms, letter_id=event_id))
                found.append(waiting)
        return RetryPage(retries=tuple(found), next=None)

    def ids(self, selection: Selection) -> list[str]:
        """The ids of all retries that match: a snapshot, as what is changed moves in the order of due times."""
        return [waiting.record.event_id for waiting in self._waiting.in_order() if selection.matches(waiting.record)]

    def groups(self, selection: Selection) -> tuple[Group, ...]:
        """The retries that match by the cause of their last failure, largest group first."""
        causes: dict[str, Cause] = {}
        now_ms = int(self._clock.now_s() * 1000)
        grouping = Grouping(first_ms=max(selection.since_ms, now_ms - 3_600_000), last_ms=now_ms)
        for waiting in self._waiting.in_order():
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
        return self._act("retries.now", selection, who, "", lambda part: len(self._waiting.make_due(part)))

    def cancel(self, selection: Selection, *, reason: str = "", who: str = "") -> Touched:
        """Dead-letter retries: nothing is thrown away, and ``dead discard`` does that with a reason.

        Those that are being tried are left alone. An event keeps its attempts and its last failure.

        Raises:
            StoreUnavailableError: Redis is away; some may be dead-lettered, and calling again completes it.
        """
        return self._act("retries.cancel", selection, who, reason, self._bury)

    def _act(self, action: str, selection: Selection, who: str, reason: str, act: Any) -> Touched:
        changed = met = 0
        for part in chunks(self.ids(selection), CHUNK):
            met += len(part)
            changed += act(part)
        numbers = {"changed": changed, "taken": met - changed}
        entry = LogEntry(who=who or who_am_i(), action=action, selection=str(selection), numbers=numbers, reason=reason)
        self._log.append(entry)
        return Touched(changed=changed, taken=met - changed)

    def _bury(self, event_ids: Sequence[str]) -> int:
        """Taken as a mover would, no mover takes them meanwhile; if this process dies, they are tried again."""
        records = self._waiting.take(event_ids)
        now = self._clock.now().isoformat()
        by_task: dict[str, list[DeadLetter]] = {}
        for record in records:
            by_task.setdefault(record.task, []).append(_letter(record, now))
        for letters in by_task.values():
            self._dead.bury(letters)
        return len(records)


def retry_as_dict(waiting: WaitingRetry, *, payloads: bool) -> dict[str, Any]:
    """A retry as JSON values; without ``payloads`` the event's content is masked."""
    values: dict[str, Any] = msgspec.to_builtins(waiting.record)
    envelope = waiting.record.envelope if payloads else mask_envelope(waiting.record.envelope)
    user_id = user_of(waiting.record.addresses)
    return {**values, "user_id": user_id, "envelope": envelope, "due_ms": waiting.due_ms, "taken": waiting.taken}


def _letter(record: RetryRecord, now: str) -> DeadLetter:
    return DeadLetter(
        letter_id=record.event_id,
        task=record.task,
        queue=record.queue,
        envelope=record.envelope,
        failure=record.attempts[-1].failure,
        attempts=record.attempts,
        addresses=record.addresses,
        buried_at=now,
        worker=who_am_i(),
        release="",
    )
