"""``InstalledTask``: the bridge's task where a team's app runs it, in processes that accept what that app accepts."""

from typing import Any

from bridge.celery_runtime.consumer import is_ending
from bridge.celery_runtime.task import BridgeRequest, BridgeTask


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


class InstalledTask(BridgeTask):
    """A bridge's task in the processes of a team's app."""

    abstract = True
    Request = f"{__name__}:InstalledRequest"
