"""``TaskSender``: puts messages on the broker, many in one write; for producers and for the retry mover."""

import encodings.idna  # noqa: F401  (imported by the first look-up of a host name)
from collections.abc import Sequence
from typing import Protocol

from bridge.messages.task_message import TaskMessage
from bridge.model.registry import Registry
from bridge.settings import Settings
from bridge.settings.topology import topology


class Wire(Protocol):
    """The way to one kind of broker."""

    def prepare(self) -> None:
        """As ``TaskSender.prepare``."""
        ...

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """As ``TaskSender.send``."""
        ...

    def insist_on_room(self) -> None:
        """As ``TaskSender.insist_on_room``."""
        ...

    def close(self) -> None:
        """As ``TaskSender.close``."""
        ...


class TaskSender:
    """One connection to the broker, opened at the first ``send`` and again after trouble. Not thread-safe."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._wire: Wire | None = None

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """Put messages on their queues, in order, enter them into the accounting, and wait until the broker has them.

        Raises:
            BrokerError: not all of them were confirmed. Some may have been taken: send all
                again, since the worker recognises an event that it has published before.
        """
        self._open().send(messages)

    def insist_on_room(self) -> None:
        """Ask before messages are taken from elsewhere to be sent; free unless the broker refused the last ones.

        Raises:
            BrokerUnavailableError: the broker is known to be blocked by an alarm, and nothing need be tried.
        """
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
        """Drop the connection; ``send`` opens another. Idempotent, and never raises on a dead connection."""
        if self._wire is not None:
            self._wire.close()

    def _open(self) -> Wire:
        if self._wire is None:
            self._wire = _wire(self._settings, self._registry)
        return self._wire


def _wire(settings: Settings, registry: Registry) -> Wire:
    """Redis is written to directly. The rest goes through kombu, which a producer on Redis need not import."""
    if topology(settings).broker is not None:
        from bridge.redis_adapter import RedisWire

        return RedisWire(settings)
    from bridge.amqp_adapter.task_queue import KombuWire

    return KombuWire(settings, registry)
