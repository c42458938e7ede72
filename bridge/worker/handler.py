"""``Handler``: runs the pipeline over a message's envelopes and obeys the outcomes, then the message may go."""

import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import NoReturn

from bridge.messages import TaskMessage
from bridge.model.counting import EXTRACT_US, PUBLISH_DELAY_MS
from bridge.model.pipeline import Dead, Failure, Pipeline, Published, Retry, Stage, describe, encode_raw, identify
from bridge.model.plain_text import plain_logger
from bridge.model.publishing import AddressedEvent, Delivery, Receipt
from bridge.model.registry import Audience, Registry, RetryPolicy
from bridge.ports import Clock, PendingPublish, WorkerPorts
from bridge.runtime.identity import release
from bridge.runtime.tracing import active_tracer
from bridge.settings import WorkerSettings
from bridge.worker.jobs import Failures, Job, Todo
from bridge.worker.tracing import BatchTrace

logger = plain_logger(__name__)

PORTION_EVENTS = 100
"""A bundle's first portion ends with the message that makes it so large: few, because Redis has nothing to do until
they are decided. Each further one is so much larger: deciding is faster than settling, and a call has its own cost."""
PORTION_MAX = 400
"""… up to so much: Redis serves no other client while it settles one."""
RUN_S = 2.0
"""A bundle that is not decided after this time, eight times of what experience said, ends there."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided, of which Redis is asked to settle the part that ends here."""

    todos: Sequence[tuple[Job, Todo]]
    ending: Sequence[tuple[Job, Todo]]
    settling: PendingPublish


class Handler:
    """Handles jobs. Connects lazily, so that each process of a prefork pool gets connections of its own.

    Every method is idempotent by event id, so that a redelivered message changes nothing, and raises
    StoreError when Redis is away or refuses: then the message must not be acknowledged.

    Attributes:
        starts: how often messages that came back were started.
    """

    def __init__(self, settings: WorkerSettings, registry: Registry, ports: WorkerPorts) -> None:
        self._run_s = min(RUN_S, settings.task_soft_time_limit_s / 2)
        self._registry = registry
        self._publisher = ports.publisher
        self._accounting = ports.accounting
        self.starts = ports.starts
        self._clock = ports.clock
        self._metrics = ports.metrics
        self._open_queue = ports.open_queue
        self._failures = Failures(registry, ports, release(settings))
        self._pipeline = Pipeline(
            registry,
            retry=RetryPolicy(
                attempts=settings.retry_attempts, base_s=settings.retry_base_s, cap_s=settings.retry_cap_s
            ),
            event_max_bytes=settings.event_max_bytes,
            random=random.random,
        )

    def run(self, jobs: Sequence[Job]) -> int:
        """Handle every envelope of the jobs, of one or more messages, in order.

        They are settled in portions: while Redis works on one, the next is decided.

        Returns:
            How many jobs are done: fewer than all, and at least one, if that took too long.
        """
        tracer, begun_ns = active_tracer(), 0
        trace = BatchTrace(tracer) if tracer is not None else None
        decided: _Decided | None = None
        sent: _Decided | None = None
        done = 0
        try:
            for todos in self._portions(jobs, trace, time.monotonic() + self._run_s):
                decided = self._prepare(todos)
                if sent is not None:
                    self._finish(sent)
                begun_ns = begun_ns or time.time_ns()
                sent = decided
                sent.settling.begin()
                done += len(todos)
            if sent is not None:
                self._finish(sent)
        except BaseException:
            for one in (sent, decided):
                if one is not None:
                    one.settling.abandon()
            raise
        if trace:
            trace.settled(begun_ns)
        return done

    def _portions(
        self, jobs: Iterable[Job], trace: BatchTrace | None, stop_at: float
    ) -> Iterator[list[tuple[Job, Todo]]]:
        """Decide jobs in their order, as far as there is time, in growing portions of whole jobs."""
        portion: list[tuple[Job, Todo]] = []
        events, enough = 0, PORTION_EVENTS
        for job in jobs:
            portion.append((job, self._decide(job, trace)))
            events += len(job.envelopes)
            if time.monotonic() > stop_at:
                break
            if events >= enough:
                yield portion
                portion, events, enough = [], 0, min(enough + PORTION_EVENTS, PORTION_MAX)
        if portion:
            yield portion

    def _decide(self, job: Job, trace: BatchTrace | None) -> Todo:
        self._book(job)
        run = partial(self._pipeline.run, job.mapping, attempt=job.attempt, last_attempt=bool(job.redrive))
        pid = os.getpid()
        todo = Todo()
        try:
            for raw in job.envelopes:
                begun_s = perf_counter()
                todo.add(trace.process(partial(run, raw), job.mapping, raw, job.attempt) if trace else run(raw))
                todo.took_us.append((perf_counter() - begun_s) * 1e6)
        finally:
            if os.getpid() != pid:
                _end_fork(pid)
        return todo

    def record_worker_lost(self, job: Job, error: BaseException, *, permanent: bool = False) -> None:
        """Record that a worker process died or ran out of time over a job: an attempt of each event.

        Which event was to blame is unknown, so each is tried again alone. If it was the last attempt of any, no
        attempt is used up: run alone, only the poison event is dead-lettered.

        ``permanent``: another attempt would be in vain; an event alone is dead-lettered then.

        Raises:
            StoreError: the loss is not in the accounting; the message must not be acknowledged.
            BrokerError: the same.
        """
        failure = describe(error, Stage.WORKER)
        self._book(job)
        permanent = permanent and len(job.envelopes) == 1
        outcomes = [(raw, self._failed(job, raw, failure, permanent=permanent)) for raw in job.envelopes]
        # Its process may have settled some of them, and until it is dead, or its last command has arrived, may still.
        unfinished = self._failures.unfinished(job, [_id_of(outcome) for _, outcome in outcomes])
        left = [(raw, outcome) for raw, outcome in outcomes if _id_of(outcome) in unfinished]
        if len(left) > 1 and any(isinstance(outcome, Dead) for _, outcome in left):
            self.split(replace(job, envelopes=[raw for raw, _ in left]))
            return
        todo = Todo.of(outcome for _, outcome in left)
        self._failures.record(job, todo.retries, todo.dead, only_unfinished=True)

    def dead_letter_poison(self, job: Job, times: int) -> None:
        """Dead-letter a job over which whole workers died."""
        self._book(job)
        failure = Failure(
            stage=Stage.WORKER,
            error_class="WorkerLost",
            message=f"The whole worker died {times} times while it ran this event (BRIDGE_DELIVERY_MAX).",
        )
        outcomes = (
            self._pipeline.failed(job.mapping, raw, failure, attempt=job.attempt, permanent=True)
            for raw in job.envelopes
        )
        decided = self._prepare([(job, Todo.of(outcomes))])
        decided.settling.begin()
        self._finish(decided)

    def split(self, job: Job) -> None:
        """Put each envelope back on the queue in a message of its own, as if it came for the first time.

        Raises:
            BrokerError: not all are on the queue; the message must not be acknowledged.
        """
        task, queue = self._registry.task_of(job.mapping), self._registry.queue_of(job.mapping)
        sender = self._open_queue()
        self._book(job)
        try:
            sender.send(
                [
                    TaskMessage(
                        task=task,
                        queue=queue,
                        envelopes=[encode_raw(raw)],
                        attempt=job.attempt,
                        booked_as=job.book_id,
                        redrive=job.redrive,
                    )
                    for raw in job.envelopes
                ]
            )
        finally:
            sender.close()
        logger.warning(
            "bridge.message.split events=%d task=%s: a worker died or ran out of time over it.",
            len(job.envelopes),
            task,
        )

    def _failed(self, job: Job, raw: object, failure: Failure, *, permanent: bool = False) -> Retry | Dead:
        permanent = permanent or bool(job.redrive)
        return self._pipeline.failed(job.mapping, raw, failure, attempt=job.attempt, permanent=permanent)

    def _book(self, job: Job) -> None:
        """Enter a message's events into the accounting, if they were not announced."""
        if job.book_id and not job.booked_as and job.envelopes:
            task, queue = self._registry.task_of(job.mapping), self._registry.queue_of(job.mapping)
            self._accounting.book(job.message_id, task, queue, [identify(raw) for raw in job.envelopes])

    def _prepare(self, todos: Sequence[tuple[Job, Todo]]) -> _Decided:
        """Make ready what Redis is to publish, and to count as skipped."""
        ending = [(job, todo) for job, todo in todos if todo.published or todo.skipped]
        return _Decided(todos, ending, self._publisher.prepare([self._delivery(job, todo) for job, todo in ending]))

    def _finish(self, sent: _Decided) -> None:
        """Wait for Redis. Then record the failures, to which what it refused for good is added."""
        unpublished = sent.settling.unpublished()
        if unpublished:
            self._fail_refused(sent.ending, unpublished)
        for job, todo in sent.todos:
            if todo.retries or todo.dead:
                self._failures.record(job, todo.retries, todo.dead)
        # Where something was published, it was counted in the same step.
        took_us = [one for _, todo in sent.todos if not todo.published for one in todo.took_us]
        if took_us:
            self._metrics.add(EXTRACT_US.tally(took_us))

    def _fail_refused(self, todos: Sequence[tuple[Job, Todo]], unpublished: Mapping[int, Receipt]) -> None:
        """Add as failed what Redis refused, by its place among all that was to be published."""
        everything = [(job, todo, outcome) for job, todo in todos for outcome in todo.published]
        for place, receipt in unpublished.items():
            if receipt.ok:
                continue  # a duplicate
            job, todo, outcome = everything[place]
            failure = Failure(stage=Stage.PUBLISH, error_class="redis.ResponseError", message=receipt.error or "")
            todo.add(self._failed(job, outcome.envelope, failure))

    def _delivery(self, job: Job, todo: Todo) -> Delivery:
        all_end = len(todo.published) + len(todo.skipped) == len(job.envelopes)
        is_whole = all_end and job.book_id == job.message_id
        return Delivery(
            event_type=job.mapping.sse_event_type.value,
            events=[
                AddressedEvent(
                    event=outcome.event,
                    payload=outcome.payload,
                    user_id=None if outcome.audience is Audience.BROADCAST else outcome.event.user_id,
                    addresses=outcome.addresses,
                )
                for outcome in todo.published
            ],
            message_id=job.book_id,
            whole=(self._registry.task_of(job.mapping), self._registry.queue_of(job.mapping)) if is_whole else None,
            skipped=[str(outcome.event_id) for outcome in todo.skipped],
            retention=self._registry.retention_of(job.mapping.sse_event_type),
            metrics=[*EXTRACT_US.tally(todo.took_us), *PUBLISH_DELAY_MS.tally(_ages_ms(todo.published, self._clock))],
        )


def _end_fork(parent: int) -> NoReturn:
    """End a child that an extractor forked and let return: it would go on with its parent's work and connections."""
    logger.error("bridge.process.forked pid=%d: an extractor of process %d forked it; it ends.", os.getpid(), parent)
    os._exit(os.EX_SOFTWARE)


def _ages_ms(published: Sequence[Published], clock: Clock) -> list[float]:
    """How long ago the events happened, by Redis' clock."""
    if not published:
        return []
    now_s = clock.now_s()
    return [(now_s - outcome.event.occurred_at.timestamp()) * 1e3 for outcome in published]


def _id_of(outcome: Retry | Dead) -> str:
    return outcome.letter_id if isinstance(outcome, Dead) else str(outcome.event_id)
