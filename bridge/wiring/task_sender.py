"""``TaskSender``: puts messages on the broker, many in one write; for producers and for the retry mover."""

import encodings.idna  # noqa: F401  (imported by the first look-up of a host name)
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bridge.messages.task_message import TaskMessage
from bridge.model.registry import Registry
from bridge.settings import Settings
from bridge.settings.topology import topology

if TYPE_CHECKING:
    from bridge.ports import Queue


class TaskSender:
    """One connection to the broker, opened at the first ``send`` and again after trouble. Not thread-safe."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._wire: Queue | None = None

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """As ``bridge.ports.Queue.send``: the worker recognises an event that it has published before."""
        self._open().send(messages)

    def insist_on_room(self) -> None:
        """As ``bridge.ports.Queue.insist_on_room``."""
        self._open().insist_on_room()

    def prepare(self) -> None:
        """Import all that sending and its troubles need, on the caller's thread; connects to nothing.

        A process that forks while a thread imports leaves half-made modules and locked import locks in the child, which
        then waits forever. So each import that is made at first use, ours or a library's, is made here; a test watches
        that none is left for a thread.
        """
        self._open().prepare()
        "localhost".encode("idna")  # as a host's name is looked up; codecs are found in a cache

    def close(self) -> None:
        """As ``bridge.ports.Queue.close``."""
        if self._wire is not None:
            self._wire.close()

    def _open(self) -> "Queue":
        if self._wire is None:
            self._wire = _wire(self._settings, self._registry)
        return self._wire


def _wire(settings: Settings, registry: Registry) -> "Queue":
    """Redis is written to directly. The rest goes through kombu, which a producer on Redis need not import."""
    if topology(settings).broker is not None:
        from bridge.redis_adapter import RedisTaskQueue

        return RedisTaskQueue(settings)
    from bridge.amqp_adapter.task_queue import AmqpTaskQueue

    return AmqpTaskQueue(settings, registry)
