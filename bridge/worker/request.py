"""``BridgeRequest``: what happens in the worker's main process when the process that ran a task is gone."""

import logging
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import Reject
from celery.worker import state
from celery.worker.request import Request

from bridge.errors import StoreUnavailableError
from bridge.worker.task import BridgeTask

logger = logging.getLogger(__name__)


class BridgeRequest(Request):
    """A request whose events survive the death of their process."""

    task: BridgeTask

    #: When its process began to run it, in s of the monotonic clock; Celery's own time is wrong once a clock is set.
    begun_s: float | None = None

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Note the beginning."""
        self.begun_s = time_accepted
        super().on_accepted(pid, time_accepted)

    def revoked(self) -> bool:
        """Never: an accepted event is not dropped because a message expired or its id was revoked."""
        return False

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Record whatever ended a task, but for its own word, as a failed attempt of each event; then acknowledge.

        A task gives its own word by Reject. Anything else means that its process died, ran out of time,
        or that something escaped which no handler foresaw. A shutdown is not an attempt: then the message
        goes back to its queue as it was.
        """
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, Reject) or self._already_cancelled:
            return super().on_failure(exc_info, send_failed_event, return_ok)
        if state.should_stop or state.should_terminate or not self._record_loss(error):
            return self.reject(requeue=True)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _record_loss(self, error: BaseException) -> bool:
        """Whether the loss is in the books."""
        try:
            for job in self.task.jobs(self.args, self.kwargs, self.id, self._request_dict):
                self.task.handler.lose(job, error)
        except StoreUnavailableError as trouble:
            logger.error("bridge.message.returned: %s", trouble)
            return False
        except Exception:  # whatever it is, the message must neither be lost nor stay in our hands for ever
            logger.exception("bridge.message.returned id=%s", self.id)
            return False
        return True
