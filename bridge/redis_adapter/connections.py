"""Connections that notice when their other end is not, or no longer, the master, and drop their pool.

A fail-over may leave connections open to a server that is a replica now: it takes no writes, and what it says may be
old. Trying again on such a connection cannot help; a new one is made by the same name, which may lead elsewhere.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, cast
from weakref import WeakMethod

import redis
from redis import connection as connections
from redis import sentinel
from redis.asyncio import connection as async_connections
from redis.asyncio import sentinel as async_sentinel
from redis.exceptions import RedisError, ResponseError

from bridge.model.errors import ErrorKind
from bridge.redis_adapter import older_redis_py
from bridge.redis_adapter.errors import diagnose

ROLE_FRESH_S = 5.0
"""How long a connection in use goes unasked whether its other end is a master: also one that only reads."""


_SERVER_NAME = re.compile(r"^(?:run_id|master_replid):(\w+)", re.MULTILINE)


class NotMasterError(redis.ConnectionError):
    """The server is a replica, or a sentinel."""


class OtherServerError(redis.ConnectionError):
    """The server is not, or no longer, the one that a message was claimed of."""


class ServerSeen:
    """Which server connections lead to, by a name that changes with its process, and when its memory is replaced.

    Redis replicates behind its answers: after a fail-over another server lacks the last of what this one did. So what
    was done on one may not be taken for done on the other. Those that are ``fixed`` lead to the first one, or nowhere.

    Attributes:
        name: empty before the first connection, and where the server does not tell (INFO).
        moves: how often the name changed.
    """

    __slots__ = ("_fixed", "moves", "name")

    def __init__(self, *, fixed: bool = False) -> None:
        self.name, self.moves, self._fixed = "", 0, fixed

    def note(self, name: str) -> bool:
        """Note where a new connection leads; whether that is another server than before.

        Raises:
            OtherServerError: it is, and this is fixed.
        """
        is_other = bool(self.name and name and name != self.name)
        if is_other and self._fixed:
            raise OtherServerError("Another Redis is the master now, or its memory was replaced.")
        self.moves += is_other
        self.name = name or self.name
        return is_other


def role_fault(reply: object) -> str:
    """Why the server that answered HELLO so is none to work with; empty if nothing speaks against it."""
    if not isinstance(reply, Mapping):
        words = cast("list[object]", reply) if isinstance(reply, list) else []
        reply = dict(zip(words[::2], words[1::2], strict=False))
    said = {_text(name): _text(value) for name, value in reply.items()}
    if said.get("mode") == "sentinel":
        return "This is a sentinel and no Redis: its URL begins with sentinel://."
    if said.get("role") in ("replica", "slave"):
        return "This server is a replica: it takes no writes."
    return ""


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class _Suspicious:
    """For connections of both kinds: when to ask, and what to call.

    ``on_wrong_peer`` is set by the pool; ``seen`` by whoever wants to know where connections lead.
    """

    asks_while_open = True
    on_wrong_peer: "WeakMethod[Callable[..., Any]] | None" = None
    seen: ServerSeen | None = None
    _role_due = 0.0

    def _told(self, error: Exception) -> Any:
        """Tell the pool, if it is still there; what it answers."""
        drop_idle = self.on_wrong_peer() if self.on_wrong_peer is not None else None
        return drop_idle(is_no_master=is_no_master(error)) if drop_idle is not None else None

    def _judge(self, reply: object) -> None:
        self._role_due = monotonic() + ROLE_FRESH_S
        fault = role_fault(reply)
        if fault:
            raise NotMasterError(fault)


def breaks(error: Exception) -> bool:
    """Whether other connections to the same server had better be made anew as well."""
    return diagnose(error).kind is ErrorKind.WRONG_PEER or isinstance(error, redis.TimeoutError)


def is_no_master(error: Exception) -> bool:
    """Whether the server said that it is a replica; redis-py hides that behind sentinels."""
    return isinstance(error, NotMasterError | redis.ReadOnlyError) or "previous master" in str(error)


class _Checked(_Suspicious):
    """In front of a class of connections for threads."""

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """As redis-py's, then ask whether it is a master, and whether it is still the same one."""
        super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        self._ask_role()
        if self.seen is not None and self.seen.note(self._ask_name()):
            self._told(NotMasterError())

    def _ask_name(self) -> str:
        connection = cast("Any", self)
        try:
            connection.send_command("INFO", "server", "replication", check_health=False)
            return ":".join(_SERVER_NAME.findall(_text(connection.read_response())))
        except ResponseError:  # a proxy, or a user without this right
            return ""

    def check_health(self) -> None:
        """Ask for the role when the last answer is older than ROLE_FRESH_S."""
        if not self.asks_while_open:
            super().check_health()  # type: ignore[misc]
        elif monotonic() >= self._role_due:  # which says as well whether anybody is there
            connection = cast("Any", self)
            connection.retry.call_with_retry(self._ask_role, lambda _: connection.disconnect())

    def _ask_role(self) -> None:
        connection = cast("Any", self)
        if connection._sock is None:
            connection.connect_check_health(check_health=False)  # asks
            return
        try:
            connection.send_command("HELLO", check_health=False)
            reply = connection.read_response()
        except ResponseError:
            # A proxy, or a user without this right: what it writes will show.
            self.asks_while_open, reply = False, None
        try:
            self._judge(reply)
        except NotMasterError as error:
            connection.disconnect()
            self._told(error)
            raise

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's; an error that shows the wrong server drops this connection and the idle ones."""
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except RedisError as error:
            if breaks(error):
                cast("Any", self).disconnect()
                self._told(error)
            raise


class _AsyncChecked(_Suspicious):
    """The same for asyncio."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """As redis-py's, then ask whether it is a master."""
        await super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        await self._ask_role()

    async def check_health(self) -> None:
        """As for threads."""
        if not self.asks_while_open:
            await super().check_health()  # type: ignore[misc]
        elif monotonic() >= self._role_due:  # which says as well whether anybody is there
            connection = cast("Any", self)
            await connection.retry.call_with_retry(self._ask_role, lambda _: connection.disconnect())

    async def _ask_role(self) -> None:
        connection = cast("Any", self)
        if not connection.is_connected:
            await connection.connect_check_health(check_health=False)  # asks
            return
        try:
            await connection.send_command("HELLO", check_health=False)
            reply = await connection.read_response()
        except ResponseError:
            self.asks_while_open, reply = False, None
        try:
            self._judge(reply)
        except NotMasterError as error:
            await connection.disconnect(nowait=True)
            await (self._told(error) or _nothing())
            raise

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As for threads."""
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc]
        except RedisError as error:
            if breaks(error):
                await cast("Any", self).disconnect(nowait=True)
                await (self._told(error) or _nothing())
            raise


async def _nothing() -> None:
    return


class _CheckedOnce(_Checked):
    """For a worker's channel: it is asked when it is made. Later every claim shows; and it may be waiting for news."""

    asks_while_open = False


class _ResolvesAnew:
    """A master's address is asked for whenever a connection is made, also on an object that had one before."""

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Connect to the address that the sentinels name now."""
        connection = cast("Any", self)
        if retry_socket_connect and connection._sock is None:
            connection.host, connection.port = connection.connection_pool.get_master_address()
        super().connect_check_health(  # type: ignore[misc]
            check_health=check_health, retry_socket_connect=False
        )


class _AsyncResolvesAnew:
    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Connect to the address that the sentinels name now."""
        connection = cast("Any", self)
        if retry_socket_connect and not connection.is_connected:
            connection.host, connection.port = await connection.connection_pool.get_master_address()
        await super().connect_check_health(  # type: ignore[misc]
            check_health=check_health, retry_socket_connect=False
        )


def _behind(*checks_and_kind: type) -> type:
    """One of redis-py's classes of connections, behind checks of ours."""
    *checks, kind = checks_and_kind
    is_async = issubclass(kind, async_connections.AbstractConnection)
    lacking = older_redis_py.ASYNC_CONNECTION if is_async else older_redis_py.CONNECTION
    return type(f"Checked{kind.__name__}", (*checks, *lacking, kind), {})


DIRECT: Mapping[str, type] = {
    "tcp": _behind(_Checked, connections.Connection),
    "tls": _behind(_Checked, connections.SSLConnection),
    "unix": _behind(_Checked, connections.UnixDomainSocketConnection),
}
"""Connections to an address, by how they are made."""
MANAGED: Mapping[str, type] = {
    "tcp": _behind(_Checked, _ResolvesAnew, sentinel.SentinelManagedConnection),
    "tls": _behind(_Checked, _ResolvesAnew, sentinel.SentinelManagedSSLConnection),
}
"""Connections to the master that sentinels name."""
ASYNC_DIRECT: Mapping[str, type] = {
    "tcp": _behind(_AsyncChecked, async_connections.Connection),
    "tls": _behind(_AsyncChecked, async_connections.SSLConnection),
    "unix": _behind(_AsyncChecked, async_connections.UnixDomainSocketConnection),
}
ASYNC_MANAGED: Mapping[str, type] = {
    "tcp": _behind(_AsyncChecked, _AsyncResolvesAnew, async_sentinel.SentinelManagedConnection),
    "tls": _behind(_AsyncChecked, _AsyncResolvesAnew, async_sentinel.SentinelManagedSSLConnection),
}

BrokerConnection = _behind(_CheckedOnce, connections.Connection)
BrokerSSLConnection = _behind(_CheckedOnce, connections.SSLConnection)
BrokerSentinelConnection = _behind(_CheckedOnce, _ResolvesAnew, sentinel.SentinelManagedConnection)
BrokerSentinelSSLConnection = _behind(_CheckedOnce, _ResolvesAnew, sentinel.SentinelManagedSSLConnection)


class _DropsIdle:
    """A pool whose idle connections are closed when one in use turned out to lead to the wrong server."""

    lost_masters = 0
    """How often a server was no master any more; whoever keeps a connection outside the pool looks at this."""
    seen: ServerSeen | None = None

    def make_connection(self) -> Any:
        """A connection that tells the pool when it leads to the wrong server."""
        connection = super().make_connection()  # type: ignore[misc]
        connection.on_wrong_peer, connection.seen = WeakMethod(self.drop_idle), self.seen
        return connection

    def drop_idle(self, *, is_no_master: bool) -> Any:
        """Close idle connections; and those in use when they are done, if they lead to what was the master."""
        self.lost_masters += is_no_master
        for connection in tuple(cast("Any", self)._in_use_connections) if is_no_master else ():
            connection.mark_for_reconnect()
        return cast("Any", self).disconnect(inuse_connections=False)


class _DropsIdleOfThreads(_DropsIdle, older_redis_py.POOL):  # type: ignore[misc]
    pass


class _AsyncDropsIdle(_DropsIdle):
    async def drop_idle(self, *, is_no_master: bool) -> None:
        """Close idle connections, without a wait for the other end."""
        self.lost_masters += is_no_master
        for connection in tuple(cast("Any", self)._available_connections):
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)


class CheckedPool(_DropsIdleOfThreads, redis.ConnectionPool):
    """Of connections to an address."""


class CheckedSentinelPool(_DropsIdleOfThreads, sentinel.SentinelConnectionPool):
    """Of connections to the master that sentinels name."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; with those in use also the ones to the sentinels."""
        super().disconnect(inuse_connections)
        if inuse_connections:
            for client in self.sentinel_manager.sentinels:
                client.connection_pool.disconnect()


class AsyncCheckedPool(_AsyncDropsIdle, redis.asyncio.ConnectionPool):
    """Of connections to an address, for asyncio."""


class AsyncCheckedSentinelPool(_AsyncDropsIdle, async_sentinel.SentinelConnectionPool):
    """Of connections to the master that sentinels name, for asyncio."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; with those in use also the ones to the sentinels."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for client in self.sentinel_manager.sentinels:
                await client.connection_pool.disconnect()
