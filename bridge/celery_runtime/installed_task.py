"""``InstalledTask``: the bridge's task where a team's app runs it, in processes that accept what that app accepts."""

from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import Reject

from bridge.celery_runtime.consumer import is_ending
from bridge.celery_runtime.task import BridgeRequest, BridgeTask, Refused


class InstalledRequest(BridgeRequest):
    """A message that has been read when the pool gets it: the app's ``accept_content`` may well refuse it there."""

    @property
    def body(self) -> Any:
        """Arguments, keyword arguments and the rest, as Celery reads a body that names no content type."""
        return self._payload

    @property
    def content_type(self) -> None:
        """None: it is read."""

    @property
    def content_encoding(self) -> None:
        """None: it is read."""

    def cancel(self, *args: Any, **kwargs: Any) -> None:
        """Only as the worker ends. The app's broker may be lost: this message came over another connection."""
        if is_ending():
            super().cancel(*args, **kwargs)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Claim no more for a while, if the message goes back because of the store."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        outcome = super().on_failure(exc_info, *args, **kwargs)
        if type(error) in (Reject, Refused) and not is_ending():
            self.app.bridge_rest()
        return outcome


class InstalledTask(BridgeTask):
    """A bridge's task in the processes of a team's app."""

    abstract = True
    Request = f"{__name__}:InstalledRequest"
    # A process that waits is one that the team's tasks have not; the consumer waits instead.
    store_patience_s = 2.0
    store_insists = False
