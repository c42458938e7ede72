"""``BridgeTask``: the base of the registry's tasks; a message is acknowledged when its events are settled."""

import logging
import time
from typing import Any

from celery import Task
from celery.exceptions import Reject

from bridge.broker import ATTEMPT_HEADER
from bridge.errors import StoreUnavailableError
from bridge.registry import DomainToSSEMapping
from bridge.worker.handler import Handler, Job

logger = logging.getLogger(__name__)

STORE_PATIENCE_S = 30.0
"""How long a task waits for Redis before it gives its message back."""
STORE_WAIT_FIRST_S = 0.1
STORE_WAIT_MAX_S = 2.0


class BridgeTask(Task):
    """Takes 1..N envelopes of one type. The rules below hold in any app, whatever its configuration."""

    abstract = True
    Request = "bridge.worker.request:BridgeRequest"

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

    def handle(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Settle every event of the running message.

        Raises:
            Reject: Redis stays away; the message goes back to its queue.
        """
        job = self.job(args, kwargs, attempt=_attempt(self.request.get(ATTEMPT_HEADER)))
        try:
            self._settle(job)
        except StoreUnavailableError as error:
            logger.error("bridge.message.returned events=%d: %s", len(job.envelopes), error)
            raise Reject(str(error), requeue=True) from error

    def job(self, args: Any, kwargs: Any, *, attempt: int) -> Job:
        """Read a message's arguments. Anything but one list of envelopes counts as one bad envelope."""
        well_formed = len(args) == 1 and isinstance(args[0], list) and not kwargs
        envelopes = args[0] if well_formed else [{"args": list(args), "kwargs": kwargs}]
        return Job(mapping=self.mapping, envelopes=envelopes, attempt=attempt)

    def _settle(self, job: Job) -> None:
        """Run the job, waiting for Redis to come back. Running it again is harmless."""
        deadline = time.monotonic() + STORE_PATIENCE_S
        wait_s = STORE_WAIT_FIRST_S
        while True:
            try:
                self.handler.run(job)
            except StoreUnavailableError as error:
                if time.monotonic() + wait_s > deadline:
                    raise
                if wait_s == STORE_WAIT_FIRST_S:
                    logger.warning("bridge.store.away: %s", error)
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, STORE_WAIT_MAX_S)
            else:
                return


def _attempt(header: object) -> int:
    """The attempt that a message says it is; foreign messages may say anything."""
    return header if isinstance(header, int) and header >= 1 else 1
