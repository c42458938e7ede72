"""``AlarmWatch``: whether RabbitMQ has blocked a connection for want of memory or disk.

It blocks each connection that publishes. From then on it reads nothing more from it, acknowledgements included: what
consumes must not publish.
"""

from contextlib import suppress
from typing import Any

from kombu import Connection

from bridge.model.errors import BLOCKED, BrokerUnavailableError


def blocked() -> BrokerUnavailableError:
    """The error for a caller that would send."""
    return BrokerUnavailableError(BLOCKED, code="BLOCKED")


class AlarmWatch:
    """Watches one connection at a time. Not thread-safe, as AMQP connections are not."""

    def __init__(self) -> None:
        self._watched: Any = None
        self._blocked = False

    def watch(self, connection: Connection) -> None:
        """Watch an open connection from now on; cheap if it is watched already. Redis has no such alarm."""
        if connection.transport.driver_type != "amqp":
            return
        amqp = connection.connection
        if amqp is not self._watched:
            self._watched, self._blocked = amqp, False
            amqp.on_blocked, amqp.on_unblocked = self._note_blocked, self._note_unblocked

    @property
    def blocked(self) -> bool:
        """What the broker said last, as far as it was read."""
        return self._blocked

    def still_blocked(self) -> bool:
        """Whether the connection is blocked, after reading what the broker has sent meanwhile; waits for nothing.

        Raises:
            Exception: the connection is lost, by kombu's ``connection_errors``.
        """
        if self._blocked:
            with suppress(TimeoutError):
                while True:
                    self._watched.drain_events(timeout=0)
        return self._blocked

    def _note_blocked(self, reason: str) -> None:  # noqa: ARG002  (py-amqp's signature, and always the same text)
        self._blocked = True

    def _note_unblocked(self) -> None:
        self._blocked = False
