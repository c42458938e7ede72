"""One message's work (``Job``), what is to be done about its events (``Todo``), and writing down what failed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from bridge.model.dead_letter import DeadLetter
from bridge.model.pipeline import Dead, Failure, Outcome, Published, Retry, Skipped
from bridge.model.pipeline.failure import log_failure
from bridge.model.plain_text import plain_logger
from bridge.model.registry import DomainToSSEMapping, Registry
from bridge.model.retry import Attempt, RetryRecord, extend_history
from bridge.ports import WorkerPorts
from bridge.runtime.identity import short_name

logger = plain_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One message's work."""

    mapping: DomainToSSEMapping  # mapping of the task that received it
    envelopes: Sequence[object]  # decoded JSON, of any shape
    attempt: int  # 1 for the first
    message_id: str  # the Celery task id
    booked_as: str  # the message under which the events are in the accounting; empty if they were not announced
    redrive: str = ""  # the redrive that sent it; empty if none

    @property
    def book_id(self) -> str:
        """The message with which the accounting has the events; empty for retries and for redriven letters."""
        return "" if self.attempt > 1 or self.redrive else self.booked_as or self.message_id


@dataclass(frozen=True, slots=True)
class Todo:
    """A job's outcomes, by what is to be done about them; ``took_us`` is what deciding each took."""

    published: list[Published] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    took_us: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Todo":
        """Sort outcomes."""
        todo = cls()
        for outcome in outcomes:
            todo.add(outcome)
        return todo

    def add(self, outcome: Outcome) -> None:
        """One more outcome."""
        match outcome:
            case Published():
                self.published.append(outcome)
            case Skipped():
                self.skipped.append(outcome)
            case Retry():
                self.retries.append(outcome)
            case Dead():
                self.dead.append(outcome)
            case _:
                assert_never(outcome)


class Failures:
    """Records failed events; idempotent by event id and attempt."""

    def __init__(self, registry: Registry, ports: WorkerPorts, release: str) -> None:
        self._release = release
        self._registry = registry
        self._retries = ports.retries
        self._dead_letters = ports.dead_letters
        self._accounting = ports.accounting
        self._clock = ports.clock

    def record(
        self, job: Job, retries: Sequence[Retry], dead: Sequence[Dead], *, only_unfinished: bool = False
    ) -> None:
        """Let events of a job wait for another attempt, or dead-letter them, with all their attempts so far.

        A retry that finds no room is dead-lettered. ``only_unfinished``: what, by the accounting, has ended meanwhile
        is left alone.
        """
        task, queue = self._registry.task_of(job.mapping), self._registry.queue_of(job.mapping)
        now = self._clock.now().isoformat()
        ids = [str(retry.event_id) for retry in retries] + [letter.letter_id for letter in dead]
        history = self._history(job, ids)

        def attempts(event_id: str, failure: Failure) -> tuple[Attempt, ...]:
            """All attempts of an event, this one included."""
            past = history.get(event_id, ())
            number = past[-1].number + 1 if job.redrive and past else job.attempt
            return extend_history(past, Attempt(number=number, at=now, failure=failure))

        waiting = [
            RetryRecord(
                event_id=str(retry.event_id),
                task=task,
                queue=queue,
                envelope=retry.envelope.decode(),
                attempts=attempts(str(retry.event_id), retry.failure),
                addresses=retry.told,
            )
            for retry in retries
        ]
        step: dict[str, Any] = {
            "message_id": job.book_id,
            "event_type": job.mapping.sse_event_type.value,
            "only_unfinished": only_unfinished,
        }
        due = [(record, retry.after_s) for record, retry in zip(waiting, retries, strict=True)]
        no_room = self._retries.add(due, **step) if due else frozenset()
        # What finds no room is better dead-lettered than lost.
        to_bury: list[tuple[str, Dead | Retry]] = [(one.letter_id, one) for one in dead]
        to_bury += [(str(one.event_id), one) for one in retries if str(one.event_id) in no_room]
        letters = [
            DeadLetter(
                letter_id=letter_id,
                task=task,
                queue=queue,
                envelope=one.envelope.decode(),
                failure=one.failure,
                attempts=attempts(letter_id, one.failure),
                buried_at=now,
                worker=short_name(),
                release=self._release,
                replay=job.redrive,
                addresses=one.told,
            )
            for letter_id, one in to_bury
        ]
        if letters:
            self._dead_letters.bury(letters, **step)
        _log(retries, letters, no_room, {letter_id: one.error for letter_id, one in to_bury})

    def _history(self, job: Job, event_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """The earlier attempts of the events; a message that comes for the first time has none."""
        if job.redrive:
            return self._dead_letters.history(event_ids)
        return self._retries.history(event_ids) if job.attempt > 1 else {}

    def unfinished(self, job: Job, event_ids: Sequence[str]) -> frozenset[str]:
        """The events of a job that have not ended: the step that ends one removes it from the accounting."""
        if job.redrive:
            return frozenset(self._dead_letters.history(event_ids))
        return (
            self._accounting.unfinished(job.book_id, event_ids) if job.book_id else self._retries.unfinished(event_ids)
        )


def _log(
    retries: Sequence[Retry],
    letters: Sequence[DeadLetter],
    no_room: frozenset[str],
    errors: Mapping[str, BaseException | None],
) -> None:
    for retry in retries:
        if str(retry.event_id) not in no_room:
            logger.warning(
                "bridge.event.retried event_id=%s attempt=%d after_s=%.1f stage=%s error=%s",
                retry.event_id,
                retry.attempt,
                retry.after_s,
                retry.failure.stage,
                retry.failure.error_class,
            )
    for letter in letters:
        log_failure(
            logger,
            letter.failure,
            errors.get(letter.letter_id),
            "bridge.event.buried letter_id=%s task=%s stage=%s error=%s",
            letter.letter_id,
            letter.task,
            letter.failure.stage,
            letter.failure.error_class,
        )
    if no_room:
        logger.error("bridge.retries.full buried=%d: raise BRIDGE_RETRY_MAX or mend what fails.", len(no_room))
