"""``BridgeTask`` and ``BridgeRequest``: a message in its pool process and in the main one, which acknowledges it."""

import errno
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import SoftTimeLimitExceeded
from billiard.process import current_process
from celery import Task
from celery.exceptions import Reject
from celery.worker import state
from celery.worker.request import Request

from bridge.celery_runtime.kombu_messages import quarantine_message
from bridge.celery_runtime.redis_channel import ClaimingChannel
from bridge.celery_runtime.refusals import refusals
from bridge.messages import ATTEMPT_HEADER, BOOKED_HEADER, BUNDLE_HEADER, CLAIMED_ON_HEADER, REDRIVE_HEADER
from bridge.messages.bundling import Envelopes
from bridge.messages.validation import deliveries_of
from bridge.model.bounds import MessageBounds
from bridge.model.errors import BrokerError, BrokerRefusedError, StoreError, StoreRefusedError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import DomainToSSEMapping
from bridge.ports import MasterWatch
from bridge.runtime.supervision import OnceAKind
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job

logger = plain_logger(__name__)

T = TypeVar("T")

STORE_PATIENCE_S = 30.0
"""How long a task waits for Redis before it gives its message back; longer if it came back before, and at most half of
its time limit."""
AWAY = ("bridge.store.away", logging.WARNING)
REFUSED = ("bridge.store.refused", logging.ERROR)
SPLIT_AFTER = 2
"""A message that was started this often is taken apart next time, so that only the poison event stays behind."""
STORE_WAIT_FIRST_S = 0.1
STORE_WAIT_MAX_S = 2.0
REFUSED_WAIT_S = 5.0
"""How long a task waits before it asks again what Redis refuses for good: an operator may grant what is missing."""


class Unfinished(Reject):
    """A bundle took too long: its first ``done`` messages are settled, and the others are to be run one by one."""

    def __init__(self, done: int) -> None:
        super().__init__(f"{done} messages of a bundle are done, and the others go on alone", requeue=True)
        self.done = done

    def __reduce__(self) -> tuple[type["Unfinished"], tuple[int]]:
        return type(self), (self.done,)


class OutOfTimeError(Exception):
    """Time ran out, and neither an extractor nor Redis was waited for: the message itself cannot be handled in time."""


class WrittenElsewhere(Reject):
    """Another Redis than the one that the message was claimed of was told what became of it; it runs again there."""


class Refused(Reject):
    """Redis or the broker refuses for good; the message goes back, and the worker tells."""


class BridgeTask(Task):
    """Takes 1..N envelopes of one type. The rules below hold in any app, whatever its configuration."""

    abstract = True
    Request = f"{__name__}:BridgeRequest"

    acks_late = True
    acks_on_failure = True
    acks_on_timeout = True
    reject_on_worker_lost = False
    # A dead process is handled in BridgeRequest: event by event, and counted.
    retry_on_worker_lost = False
    ignore_result = True
    store_errors_even_if_ignored = False
    serializer = "json"

    mapping: DomainToSSEMapping
    handler: Handler
    master: MasterWatch
    delivery_max: int
    bounds: MessageBounds

    #: How long the first wait for Redis is, in s, and whether its client insists, too.
    store_patience_s = STORE_PATIENCE_S
    store_insists = True
    #: Whether Redis is being waited for; then it is not the message's fault that time runs out.
    _waits = False

    def handle(self, *args: Any, **kwargs: Any) -> None:
        """Settle every event of the running message; what Celery runs.

        Raises:
            Unfinished: it is a bundle that took too long.
            WrittenElsewhere: Redis failed over meanwhile.
            OutOfTimeError: the message cannot be handled in time; an attempt of each event.
            Reject: Redis or the broker stays away, or time ran out meanwhile; the message goes back. That is no event's
                attempt, and ends when they are back.
        """
        headers: dict[str, Any] = self.request.__dict__  # each look at the request goes through Celery's stack of them
        message_id = str(headers.get("id"))
        jobs = self.jobs(args, kwargs, message_id, headers)
        starts, self._waits = 0, False
        is_kept = self.master.begin(headers.get(CLAIMED_ON_HEADER) or "")
        try:
            if deliveries_of(headers):  # counted once, however long Redis lets us wait afterwards
                starts = self._with_patience(lambda: self.handler.starts.add(message_id))
            done = self._with_patience(lambda: self._run(jobs, starts))
            if not is_kept():
                if starts:
                    self._forgive_start(message_id)
                raise WrittenElsewhere("another Redis is the master now", requeue=True)
            if done < len(jobs):
                raise Unfinished(done)
            if starts:
                self._with_patience(lambda: self.handler.starts.forget(message_id))
        except (StoreError, BrokerError, SoftTimeLimitExceeded) as error:
            reason = str(error) or "time ran out"
            if isinstance(error, SoftTimeLimitExceeded) and not self._waits:
                raise OutOfTimeError(f"The message was not handled within {self.soft_time_limit:g} s.") from error
            if starts:
                self._forgive_start(message_id)
            logger.error("bridge.message.returned events=%d: %s", sum(len(job.envelopes) for job in jobs), reason)
            kind = Refused if isinstance(error, StoreRefusedError | BrokerRefusedError) else Reject
            raise kind(reason, requeue=True) from error

    def _forgive_start(self, message_id: str) -> None:
        """What is given back in order was not started by a worker that died, whatever the broker counts."""
        with suppress(StoreError):  # it is away, most likely
            self.handler.starts.take_back(message_id)

    def _run(self, jobs: Sequence[Job], starts: int) -> int:
        """Run jobs; with care if their message was started before (``starts``) and came back: then it is one.

        Returns how many are done.
        """
        if starts > self.delivery_max:
            self.handler.dead_letter_poison(jobs[0], starts - 1)
        elif starts > SPLIT_AFTER and len(jobs[0].envelopes) > 1:
            self.handler.split(jobs[0])
        else:
            return self.handler.run(jobs)
        return len(jobs)

    def jobs(self, args: Any, kwargs: Any, message_id: str, headers: Mapping[str, Any]) -> list[Job]:
        """Read a message: one job, or one a message where the transport has bundled several.

        Arguments that are anything but one list of envelopes, and not too many, count as one bad envelope.
        """
        if len(args) == 1 and isinstance(args[0], Envelopes):
            envelopes: Sequence[object] = args[0].split()
        elif len(args) == 1 and isinstance(args[0], list) and not kwargs and len(args[0]) <= self.bounds.envelopes:
            envelopes = args[0]
        else:
            envelopes = [{"args": list(args), "kwargs": kwargs}]
        bundle = headers.get(BUNDLE_HEADER)
        if bundle:
            return self._unbundle(envelopes, bundle)
        attempt = headers.get(ATTEMPT_HEADER)  # foreign messages may say anything
        return [
            Job(
                mapping=self.mapping,
                envelopes=envelopes,
                attempt=attempt if isinstance(attempt, int) and attempt >= 1 else 1,
                message_id=message_id,
                booked_as=headers.get(BOOKED_HEADER) or "",
                redrive=headers.get(REDRIVE_HEADER) or "",
            )
        ]

    def _unbundle(self, envelopes: Sequence[object], bundle: Iterable[tuple[str, str, str, int]]) -> list[Job]:
        jobs, start = [], 0
        for task, message_id, booked_as, events in bundle:
            mapping, part = self.app.tasks[task].mapping, envelopes[start : start + events]
            jobs.append(Job(mapping=mapping, envelopes=part, attempt=1, message_id=message_id, booked_as=booked_as))
            start += events
        return jobs

    def _with_patience(self, run: Callable[[], T]) -> T:
        """Run, waiting for Redis to come back. Running again is harmless."""
        begun_s, wait_s = time.monotonic(), STORE_WAIT_FIRST_S
        trouble: OnceAKind | None = None  # not made for every message
        while True:
            try:
                return run()
            except StoreError as error:
                _end_without_files()
                trouble = trouble or OnceAKind(logger)
                # A whole store that refuses is no event's fault: no attempt is used up, and no more is consumed.
                refused = isinstance(error, StoreRefusedError)
                wait_s = max(wait_s, REFUSED_WAIT_S) if refused else wait_s
                if time.monotonic() + wait_s > begun_s + self._patience_s():
                    raise
                trouble.log(error, *(REFUSED if refused else AWAY))
                self._waits = True
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, STORE_WAIT_MAX_S)

    def _patience_s(self) -> float:
        # The longer Redis stays away, the more seldom a message goes back: RabbitMQ counts that, too, and has a limit.
        returns = deliveries_of(self.request.__dict__)
        return min(self.store_patience_s * (1 + returns), (self.soft_time_limit or STORE_PATIENCE_S) / 2)


def _end_without_files() -> None:
    """End a process of the pool that can open nothing any more, as an extractor leaks files: it never reaches Redis.

    Another takes its place, and what it ran loses an attempt; given back, it would come here again without end.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EMFILE and current_process().name != "MainProcess":
            logger.error("bridge.process.exhausted pid=%d: it has no file descriptor left, and ends.", os.getpid())
            os._exit(os.EX_OSERR)


def out_of_time() -> BaseException:
    """What is raised in an extractor when its message's time is over; for ``bridge.testing``."""
    error: BaseException = SoftTimeLimitExceeded()
    return error


RUNS_MAX = 2
"""Runs of a message whose end cannot be written down, for a reason that is neither the store's nor the broker's."""


class BridgeRequest(Request):
    """A request whose events survive the death of their process."""

    task: BridgeTask

    #: When its process began to run it, in s of the monotonic clock; Celery's own time is wrong once a clock is set.
    begun_s: float | None = None

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Note the beginning."""
        self.begun_s = time_accepted
        super().on_accepted(pid, time_accepted)

    def acknowledge(self) -> None:
        """A message is done, so that nothing is refused any more."""
        if refusals.newest is not None:
            refusals.newest = None
        super().acknowledge()

    def revoked(self) -> bool:
        """Never: an accepted event is not dropped because a message expired or its id was revoked."""
        return False

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Record whatever ended a task, but for its own word, as a failed attempt of each event; then acknowledge.

        A task gives its own word by Reject. Anything else means that its process died, ran out of time,
        or that something escaped which no handler foresaw. A shutdown is not an attempt: then the message
        goes back to its queue as it was. Nor is it one of a bundle: which of its messages was to blame is
        unknown, so each is run again alone.
        """
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, Unfinished) and self._part(error.done):
            return None
        if isinstance(error, Refused):
            refusals.note(str(error.reason))
        if isinstance(error, WrittenElsewhere):
            self.message.channel.in_doubt = True
        if isinstance(error, Reject) or self._already_cancelled:
            return super().on_failure(exc_info, send_failed_event, return_ok)
        if state.should_stop or state.should_terminate:
            return self.reject(requeue=True)
        if self._part():
            logger.warning("bridge.bundle.parted id=%s: %s.", self.id, type(error).__name__)
            return None
        if not self._record_loss(error):
            return self.reject(requeue=True)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _part(self, done: int = 0) -> bool:
        """Have the messages of a bundle run one by one, but for those that are done; False if it is no bundle."""
        channel = self.message.channel
        if not isinstance(channel, ClaimingChannel) or not channel.part(self.message.delivery_tag, done=done):
            return False
        state.task_ready(self)
        self.acknowledged = True  # Celery must not do it: the first message has the bundle's tag
        return True

    def _record_loss(self, error: BaseException) -> bool:
        """Record a run that did not end by itself; whether that succeeded. If not, the message must go back."""
        permanent = isinstance(error, OutOfTimeError) and self._was_alone()
        is_kept = self.task.master.begin(self._request_dict.get(CLAIMED_ON_HEADER) or "")
        try:
            for job in self.task.jobs(self.args, self.kwargs, self.id, self._request_dict):
                self.task.handler.record_worker_lost(job, error, permanent=permanent)
        except (StoreError, BrokerError) as trouble:
            logger.error("bridge.message.returned: %s", trouble)
            return False
        except Exception as surprise:  # whatever it is, the message must neither be lost nor run forever
            logger.exception("bridge.message.returned id=%s", self.id)
            return self._is_put_aside(surprise) and is_kept()
        return is_kept()

    def _was_alone(self) -> bool:
        """Whether this is a later attempt: its events ran out of time before, and were sent again, each alone."""
        attempt = self._request_dict.get(ATTEMPT_HEADER)
        return isinstance(attempt, int) and attempt > 1

    def _is_put_aside(self, error: Exception) -> bool:
        """Quarantine a message whose end cannot be recorded, if that was tried before; False: it is to be run again."""
        quarantine = getattr(self.app, "bridge_quarantine", None)
        if quarantine is None:  # a team's app, which keeps what it cannot run its own way
            return False
        try:
            if self.task.handler.starts.add(f"unrecorded:{self.id}") < RUNS_MAX:
                return False
            quarantine_message(quarantine, self.message, error, self.task.bounds)
        except StoreError as trouble:
            logger.error("bridge.message.returned: %s", trouble)
            return False
        return True
