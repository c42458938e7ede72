"""``QueueWatch``: a channel's second connection, on which Redis says that a queue changed."""

from collections.abc import Iterator
from functools import cached_property
from time import monotonic
from typing import Any

import redis
from redis.exceptions import ResponseError

from bridge.model.plain_text import plain_logger
from bridge.redis_adapter.connections import ServerSeen
from bridge.redis_adapter.errors import diagnose

logger = plain_logger(__name__)

POLL_S = 1.0
"""An idle worker looks this often, in case an invalidation message was lost."""
POLL_WITHOUT_TRACKING_S = 0.02
"""… and this often where the server cannot tell when a queue changes."""
PING_S = 10.0
"""How often a connection that only listens is used, so that no proxy takes it for idle …"""
PING_UNKNOWN_S = 2.0
"""… where it is unknown after what time Redis cuts an idle one …"""
PINGS_PER_TIMEOUT = 3
"""… and within that time, where it is known."""

BREAKS = (redis.ConnectionError, redis.TimeoutError, OSError)
"""A connection is gone; whether Redis is, only another one shows. kombu counts KeyError among these."""


def why_not_told(connection: Any, prefix: str) -> str:
    """Why the server cannot tell this connection about changes of keys; empty if it can, and does from now on."""
    try:
        connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", prefix)
        connection.read_response()
    except ResponseError as error:
        said = diagnose(error)
        return f"{said.code}: {said.text}"
    return ""


class QueueWatch:
    """For a channel of kombu's, all of whose connections lead to one server: where its claims are."""

    WAKE = "WAKE"
    #: Whether the pool wrote elsewhere than this channel's claims are; then the worker connects anew.
    in_doubt = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._idle = False
        self._woken = False
        self._poll_s = POLL_S
        self._told_by: Any = None
        self._ping_every_s = PING_UNKNOWN_S
        self._ping_at = 0.0
        self.server = ServerSeen(fixed=True)
        for name in ("connection_class", "connection_class_ssl"):
            setattr(self, name, type("Fixed", (getattr(self, name),), {"seen": self.server}))
        super().__init__(*args, **kwargs)

    @cached_property
    def wake_client(self) -> Any:
        """The connection on which Redis says that a queue changed."""
        return self._create_client(asynchronous=True)  # type: ignore[attr-defined]

    def listen_for_changes(self) -> None:
        """Have Redis tell ``wake_client`` about every change of our queues."""
        connection = self.wake_client.connection
        if self._told_by is connection._sock:
            return
        try:
            connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", *self._prefixes())
            connection.read_response()
            self._poll_s = POLL_S
        except ResponseError as error:
            logger.warning("bridge.broker.polls: the server cannot tell when a queue changes (%s).", error)
            self._poll_s = POLL_WITHOUT_TRACKING_S
        self.connection.cycle.turn_every(self._poll_s)  # type: ignore[attr-defined]
        self._told_by = connection._sock
        self._ping_every_s = self._find_ping_interval_s()
        self._ping_at = monotonic() + self._ping_every_s
        self._idle = False

    def _prefixes(self) -> Iterator[str]:
        """Our queues as key prefixes; none may be the start of another."""
        previous = None
        for key in sorted(self.global_keyprefix + queue for queue in self.active_queues):  # type: ignore[attr-defined]
            if previous is None or not key.startswith(previous):
                previous = key
                yield from ("PREFIX", key)

    def _find_ping_interval_s(self) -> float:
        try:
            timeout_s = int(self._records.config_get("timeout").get("timeout", 0))  # type: ignore[attr-defined]
        except (ResponseError, ValueError):  # managed servers keep their configuration to themselves
            return PING_UNKNOWN_S
        return min(PING_S, timeout_s / PINGS_PER_TIMEOUT) if timeout_s else PING_S

    def keep_listening(self) -> None:
        """Use the connection now and then: Redis (``timeout``) and proxies cut one that is silent."""
        if self._told_by is None or monotonic() < self._ping_at:
            return
        self._ping_at = monotonic() + self._ping_every_s
        try:
            self.wake_client.connection.send_command("PING", check_health=False)
        except BREAKS:
            self._stop_listening()

    def read_wake_up(self) -> None:
        """Take note that a queue changed."""
        connection = self.wake_client.connection
        try:
            self._take(connection.read_response(push_request=True))
            while connection.can_read(timeout=0):
                self._take(connection.read_response(push_request=True))
        except BREAKS:
            self._stop_listening()

    def _take(self, said: object) -> None:
        if said not in (b"PONG", "PONG"):
            self._woken, self._idle = True, False

    def _stop_listening(self) -> None:
        """Drop the connection alone; before the next wait it is made anew, and shows whether Redis is there."""
        self.connection.cycle.drop(self, self.wake_client, self.WAKE)  # type: ignore[attr-defined]
        self._told_by = None
        # What changed meanwhile is unknown.
        self._woken, self._idle = True, False
