"""The Celery boot step that runs a retry mover in each worker's main process."""

from typing import Any, ClassVar

from celery import bootsteps

from bridge.broker import TaskSender
from bridge.registry import Registry
from bridge.settings import Settings
from bridge.store import RetrySet, connect
from bridge.worker.mover import RetryMover


class RetryMoverStep(bootsteps.StartStopStep):
    """Starts after the pool, so that no pool process is forked from a running thread."""

    requires = ("celery.worker.components:Pool",)
    settings: ClassVar[Settings]
    registry: ClassVar[Registry]

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._mover: RetryMover | None = None

    def start(self, worker: Any) -> None:  # noqa: ARG002  (Celery's signature)
        """Start the mover with connections of its own."""
        self._mover = RetryMover(
            RetrySet(connect(self.settings), self.settings), TaskSender(self.settings, self.registry)
        )
        self._mover.start()

    def stop(self, worker: Any) -> None:  # noqa: ARG002
        """Stop it."""
        if self._mover is not None:
            self._mover.stop()

    terminate = stop
