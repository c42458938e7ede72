"""``BridgeRequest``: what happens in the worker's main process when the process that ran a task is gone."""

import logging
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker import state
from celery.worker.request import Request

from bridge.broker import ATTEMPT_HEADER
from bridge.errors import StoreUnavailableError
from bridge.worker.task import BridgeTask, _attempt

logger = logging.getLogger(__name__)


class BridgeRequest(Request):
    """A request whose events survive the death of their process."""

    task: BridgeTask

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Record a lost or timed-out process as a failed attempt of each event, then acknowledge.

        A shutdown is not an attempt: then the message goes back to its queue as it was.
        """
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if not isinstance(error, WorkerLostError | TimeLimitExceeded | SystemExit):
            return super().on_failure(exc_info, send_failed_event, return_ok)
        if state.should_stop or state.should_terminate or not self._record_loss(error):
            return self.reject(requeue=True)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _record_loss(self, error: BaseException) -> bool:
        """Whether the loss is in the books."""
        job = self.task.job(self.args, self.kwargs, attempt=_attempt(self._request_dict.get(ATTEMPT_HEADER)))
        try:
            self.task.handler.lose(job, error)
        except StoreUnavailableError as trouble:
            logger.error("bridge.message.returned events=%d: %s", len(job.envelopes), trouble)
            return False
        return True
