"""``Auditor``: whether every accepted event is in the accounting, and which of those on their way are nowhere.

An event on its way is in the record of its message (``bridge:open``). If that record is old, and the message is
neither on its queue nor claimed by a worker, nothing will ever move it again: it is missing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from uuid import UUID

from bridge.model.accounting import Balance, OpenMessage, Summary
from bridge.model.errors import BrokerError
from bridge.model.log_entry import LogEntry
from bridge.model.registry import Registry
from bridge.operations.health import consuming_workers, stranded
from bridge.operations.outboxes import OutboxState, outboxes_of
from bridge.operations.search import Sought, Verdict, search
from bridge.operations.survey import Survey, read_survey
from bridge.ports import Store
from bridge.runtime.identity import who_am_i
from bridge.runtime.reports import Reported
from bridge.settings import AccountingSettings

GRACE_S = 60.0
"""A message on its way for less than this is not looked for: it may not be on its queue yet."""
LIST_MAX = 100
"""Missing events that an audit lists, unless told otherwise."""
PORTION = 100_000
"""Messages that are looked for at once; for more, the queues are read again."""
SILENCE_S = 60.0
"""A producer that holds events reports every few seconds; one that is silent for so long went away."""
READ_TRIES = 3
WRITE_OFF_CHUNK = 200
"""Messages that one script call writes off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingEvent:
    """An event that was accepted and has not ended, and that was not found."""

    event_id: UUID
    message_id: str  # that brought it
    task: str  # Celery task of the message
    queue: str  # that the message was put on
    accepted_ms: int  # when, in ms of Redis time
    verdict: Verdict  # MISSING, or UNCLEAR
    elsewhere: str = ""  # what became of the event under another message: published, waiting or dead; empty if nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What an audit found. In events, unless said otherwise."""

    balance: Balance  # the accounting at one moment
    unrecorded: int  # counted as on their way, and in no message's record: not even their ids are left
    missing: int  # on their way for longer than the grace, and neither on a queue nor claimed by a worker
    unclear: int  # on no queue: claimed by a worker or missing; this broker does not tell
    unchecked: int  # on their way for longer than the grace, and could not be looked for
    trouble: str  # why the broker could not be looked at; empty if it could
    listed: tuple[MissingEvent, ...]  # the missing and unclear ones, up to the limit
    producers: tuple[Reported, ...]  # that hold events, or ended with some; in no order that matters
    written_off: int  # by this audit; they are in ``missing`` and ``unclear`` too
    outboxes: tuple[OutboxState, ...] = ()  # tables in which events wait; they are safe, and not in the balance yet
    stranded: tuple[str, ...] = ()  # what waits where no worker looks, a sentence each; it is not missing

    @property
    def clean(self) -> bool:
        """Whether the accounting balances, nothing is stranded, and what is missing was just written off."""
        unaccounted = self.unrecorded + self.missing + self.unclear + self.balance.set_back - self.written_off
        return self.balance.balanced and not unaccounted and not self.trouble and not self.stranded


@dataclass(slots=True)
class _Tally:
    """What an audit finds while the messages go by."""

    limit: int
    numbers: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    listed: list[MissingEvent] = field(default_factory=list)
    trouble: str = ""
    written_off: int = 0

    def add(self, sought: Sought) -> None:
        """Count a message's events under its verdict, and list them up to the limit, unless it was not looked for."""
        message, verdict = sought.message, sought.verdict
        self.numbers[verdict] += len(message.event_ids)
        if verdict is Verdict.UNCHECKED:
            return
        for event_id in message.event_ids[: self.limit - len(self.listed)]:
            self.listed.append(
                MissingEvent(
                    event_id=event_id,
                    message_id=message.message_id,
                    task=message.task,
                    queue=message.queue,
                    accepted_ms=message.accepted_ms,
                    verdict=verdict,
                )
            )


class Auditor:
    """Reads the accounting and looks at the broker.

    Args:
        registry: its queues are looked at, beside those that the accounting names.
    """

    def __init__(self, store: Store, settings: AccountingSettings, registry: Registry) -> None:
        self._store = store
        self._ledger = store.accounting
        self._registry = registry
        self._settings = settings

    def audit(
        self,
        *,
        grace_s: float = GRACE_S,
        limit: int = LIST_MAX,
        write_off: str = "",
        verdicts: frozenset[Verdict] = frozenset({Verdict.MISSING}),
    ) -> Audit:
        """Look at everything. Reads only, unless there is a reason to write off.

        Args:
            grace_s: messages on their way for less are not looked for.
            limit: events to list at most.
            write_off: why to write off what is missing, and to forget producers that went away; empty: leave it.
            verdicts: what to write off.
        """
        balance, unrecorded = self._compare_with_records()
        tally = _Tally(limit)
        if write_off:
            # Without messages: what Redis forgot when it was set back, which no record names any more.
            tally.written_off += self._ledger.write_off([], who=who_am_i(), reason=write_off)
        outboxes = outboxes_of(self._store.producers.all())
        survey = self._read_survey(tally)
        known = {*self._registry.queues, *(queue.name for queue in survey.queues)}
        self._look(tally, known, grace_s, write_off, verdicts)
        return Audit(
            balance=self._ledger.balance() if tally.written_off else balance,
            unrecorded=unrecorded,
            missing=tally.numbers[Verdict.MISSING],
            unclear=tally.numbers[Verdict.UNCLEAR],
            unchecked=tally.numbers[Verdict.UNCHECKED],
            trouble=tally.trouble,
            listed=tuple(self._with_whereabouts(tally.listed)),
            producers=self._producers(write_off),
            written_off=tally.written_off,
            outboxes=tuple(outbox for outbox in outboxes if outbox.waiting or outbox.set_aside),
            stranded=self._stranded(survey),
        )

    def _compare_with_records(self) -> tuple[Balance, int]:
        """The balance, and how many events that it counts as on their way are in no record.

        The records cannot be read in one moment, so they are compared only if nothing moved meanwhile.
        """
        before = self._ledger.balance()
        for _ in range(READ_TRIES):
            recorded = sum(summary.events for summary in self._ledger.summaries())
            after = self._ledger.balance()
            if after == before:
                # A scan may show a record twice, but it leaves none out that stays.
                return after, max(0, after.open - recorded)
            before = after
        return before, 0

    def _read_survey(self, tally: _Tally) -> Survey:
        try:
            return read_survey(self._store, self._registry, self._store.clock.now_ms(), thorough=True)
        except BrokerError as error:
            tally.trouble = str(error)
            return Survey(queues=(), claimed=None, retries=())

    def _stranded(self, survey: Survey) -> tuple[str, ...]:
        consuming = consuming_workers(self._settings, self._store.workers.known())
        return tuple(fault.sentence for fault in stranded(self._registry, survey, consuming))

    def _look(
        self, tally: _Tally, known: Collection[str], grace_s: float, reason: str, verdicts: frozenset[Verdict]
    ) -> None:
        """Look for every message that is on its way for too long, portion by portion."""
        old = self._older_than(grace_s)
        while portion := {summary.message_id: summary for summary in islice(old, PORTION)}:
            queues = frozenset(known).union(summary.queue for summary in portion.values())
            found: list[OpenMessage] = []
            try:
                for sought in search(self._store, portion.keys(), queues):
                    tally.add(sought)
                    if reason and sought.verdict in verdicts:
                        found.append(sought.message)
                    # In chunks: one script moves a chunk, and Redis serves no other client meanwhile.
                    if len(found) >= WRITE_OFF_CHUNK:
                        tally.written_off += self._ledger.write_off(found, who=who_am_i(), reason=reason)
                        found = []
            except BrokerError as error:
                tally.trouble = str(error)
                tally.numbers[Verdict.UNCHECKED] += sum(summary.events for summary in portion.values())
            if found:
                tally.written_off += self._ledger.write_off(found, who=who_am_i(), reason=reason)

    def _older_than(self, age_s: float) -> Iterator[Summary]:
        latest_ms = self._store.clock.now_ms() - int(age_s * 1000)
        return (summary for summary in self._ledger.summaries() if summary.accepted_ms <= latest_ms)

    def _producers(self, reason: str) -> tuple[Reported, ...]:
        """Those that hold events. With a reason, those that went away are shown for the last time."""
        found = tuple(reported for reported in self._store.producers.all() if holds_events(reported))
        # What is in a spool is not lost: the next process with that directory sends it.
        gone = [reported.producer for reported in found if went_away(reported) and not reported.report.spooled]
        if gone and reason:
            for producer in gone:
                self._store.producers.keep(producer, None)
            numbers = {"producers": len(gone)}
            self._store.log.append(LogEntry(who=who_am_i(), action="audit.forget", numbers=numbers, reason=reason))
        return found

    def _with_whereabouts(self, missing: Sequence[MissingEvent]) -> list[MissingEvent]:
        """Say of each what became of it under another message: it may have been emitted twice."""
        if not missing:
            return []
        known = self._whereabouts({str(event.event_id) for event in missing})
        return [replace(event, elsewhere=known.get(str(event.event_id), "")) for event in missing]

    def _whereabouts(self, event_ids: set[str]) -> Mapping[str, str]:
        ids = sorted(event_ids)
        found = dict.fromkeys(self._store.dead_letters.history(ids), "dead")
        found |= dict.fromkeys(self._store.retries.unfinished(ids), "waiting")
        return found | dict.fromkeys(self._store.published.published(event_ids), "published")


def holds_events(reported: Reported) -> bool:
    """Whether a producer has events that the broker has not, or ended with some."""
    report = reported.report
    return bool(report.waiting or report.spooled or report.abandoned)


def went_away(reported: Reported) -> bool:
    """Whether a producer that holds events has been silent for so long that it must have ended."""
    return bool(reported.report.abandoned) or (holds_events(reported) and reported.age_s > SILENCE_S)
