"""What redis-py 5 and 6 lack of what ``connections.py`` builds on: the only place that knows of their differences.

A producer runs beside whatever redis-py its application has. What a gateway needs of it is not all here.
"""

# ruff: noqa: ARG002  (their signatures)

from inspect import signature
from typing import Any

from redis.connection import AbstractConnection, ConnectionPool

HAS_HOOKS = hasattr(AbstractConnection, "connect_check_health")
"""Since 6.0; before, a connection is opened by ``connect`` and greets in ``on_connect``."""
MAY_CONNECT_ONCE = HAS_HOOKS and "retry_socket_connect" in signature(AbstractConnection.connect_check_health).parameters
"""Since 6.3; before, a connection is always opened by its policy of trying again."""
CAN_BE_MARKED = hasattr(AbstractConnection, "mark_for_reconnect")
"""Since 7.0; before, whoever wants a connection in use closed must do so when it comes back."""
ASKS_FOR_COMMAND = signature(ConnectionPool.get_connection).parameters["command_name"].default is not None
"""Until 5.2 a pool wants to be told what its connection is for, and does not look at it."""


class Hooks:
    """The two steps of opening a connection by their newer names, in front of a class that has only the older ones."""

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        super().connect()  # type: ignore[misc]

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect()  # type: ignore[misc]

    def on_connect(self) -> None:
        self.on_connect_check_health()


class PassesOver:
    """The hooks of a class that does not know the newer option."""

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        super().connect_check_health(check_health=check_health)  # type: ignore[misc]


class AsyncPassesOver:
    """The same for asyncio."""

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        await super().connect_check_health(check_health=check_health)  # type: ignore[misc]


class AsyncHooks:
    """The same for asyncio."""

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        await super().connect()  # type: ignore[misc]

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect()  # type: ignore[misc]

    async def on_connect(self) -> None:
        await self.on_connect_check_health()


class Marks:
    """A connection that can be marked; its pool closes it when it comes back."""

    is_marked = False

    def mark_for_reconnect(self) -> None:
        self.is_marked = True


class ClosesMarked:
    """A pool of such connections."""

    def release(self, connection: Any) -> None:
        if connection.is_marked:
            connection.is_marked = False
            connection.disconnect()
        super().release(connection)  # type: ignore[misc]


class GivesForAnything:
    """A pool that need not be told."""

    def get_connection(self, command_name: str = "", *keys: Any, **options: Any) -> Any:
        return super().get_connection(command_name, *keys, **options)  # type: ignore[misc]


CONNECTION = (
    *(() if MAY_CONNECT_ONCE else (PassesOver,) if HAS_HOOKS else (Hooks,)),
    *(() if CAN_BE_MARKED else (Marks,)),
)
"""What stands between our checks and a class of redis-py's connections."""
ASYNC_CONNECTION = () if MAY_CONNECT_ONCE else (AsyncPassesOver,) if HAS_HOOKS else (AsyncHooks,)
"""The same for asyncio."""
POOL: Any = type(
    "Pool", (*((GivesForAnything,) if ASKS_FOR_COMMAND else ()), *(() if CAN_BE_MARKED else (ClosesMarked,))), {}
)
"""What stands before one of redis-py's pools."""
