"""``BridgeRequest``: what happens in the worker's main process when a task has not run to its end."""

from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import Reject
from celery.worker import state
from celery.worker.request import Request

from bridge.celery_runtime.kombu_messages import quarantine_message
from bridge.celery_runtime.redis_channel import ClaimingChannel
from bridge.celery_runtime.refusals import refusals
from bridge.celery_runtime.task import BridgeTask, OutOfTimeError, Refused, Unfinished
from bridge.messages import ATTEMPT_HEADER
from bridge.model.errors import BrokerError, StoreError
from bridge.model.plain_text import plain_logger

logger = plain_logger(__name__)

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
        try:
            for job in self.task.jobs(self.args, self.kwargs, self.id, self._request_dict):
                self.task.handler.record_worker_lost(job, error, permanent=permanent)
        except (StoreError, BrokerError) as trouble:
            logger.error("bridge.message.returned: %s", trouble)
            return False
        except Exception as surprise:  # whatever it is, the message must neither be lost nor run forever
            logger.exception("bridge.message.returned id=%s", self.id)
            return self._is_put_aside(surprise)
        return True

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
            if self.task.handler.count_start(f"unrecorded:{self.id}") < RUNS_MAX:
                return False
            quarantine_message(quarantine, self.message, error, self.task.bounds)
        except StoreError as trouble:
            logger.error("bridge.message.returned: %s", trouble)
            return False
        return True
