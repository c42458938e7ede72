"""Pools of connections to one Redis, at an address or behind sentinels, over TCP, TLS or a socket of this machine."""

from collections.abc import Mapping
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from bridge.model.errors import SettingsError
from bridge.redis_adapter import connections as classes
from bridge.settings.topology import RedisPlace

SENTINEL_TIMEOUT_S = 1.0
"""A sentinel that does not answer in this time is passed over, for the next one."""

_TCP_ONLY = ("socket_connect_timeout", "socket_keepalive")
"""Options that a socket of this machine does not take."""


def pool(place: RedisPlace, options: Mapping[str, Any]) -> redis.ConnectionPool:
    """A pool for threads; opens no connection before it is asked for one.

    Raises:
        SettingsError: the URL has an option that redis-py cannot read.
    """
    kind, arguments = _arguments(place, options)
    if not place.sentinels:
        return classes.CheckedPool(connection_class=classes.DIRECT[kind], **arguments)
    manager = Sentinel(  # type: ignore[no-untyped-call]
        place.sentinels, sentinel_kwargs={**sentinel_options(place, arguments), "retry": Retry(NoBackoff(), 0)}
    )
    made = classes.MANAGED[kind]
    return classes.CheckedSentinelPool(place.master, manager, connection_class=made, **arguments)  # type: ignore[no-untyped-call]


def async_pool(place: RedisPlace, options: Mapping[str, Any]) -> redis.asyncio.ConnectionPool:
    """A pool for asyncio; as ``pool``."""
    kind, arguments = _arguments(place, options)
    if not place.sentinels:
        return classes.AsyncCheckedPool(connection_class=classes.ASYNC_DIRECT[kind], **arguments)
    manager = AsyncSentinel(  # type: ignore[no-untyped-call]
        place.sentinels, sentinel_kwargs={**sentinel_options(place, arguments), "retry": AsyncRetry(NoBackoff(), 0)}
    )
    made = classes.ASYNC_MANAGED[kind]
    return classes.AsyncCheckedSentinelPool(place.master, manager, connection_class=made, **arguments)  # type: ignore[no-untyped-call]


def _arguments(place: RedisPlace, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What the connections are made with; what the URL says wins."""
    kind = {"rediss": "tls", "unix": "unix"}.get(place.url.partition("://")[0], "tcp")
    try:
        arguments = {**options, **parse_url(place.url)}  # type: ignore[no-untyped-call]
    except ValueError as error:  # names the option, and not its value
        raise SettingsError(f"BRIDGE_REDIS_URL or BRIDGE_BROKER_URL cannot be read: {error}") from error
    arguments.pop("connection_class", None)
    if kind == "unix":
        arguments = {name: value for name, value in arguments.items() if name not in _TCP_ONLY}
    if place.sentinels:
        del arguments["host"], arguments["port"]
    return kind, arguments


def tls_options_of(url: str) -> dict[str, Any]:
    """What a URL says of TLS, as redis-py's connections take it."""
    return {name: value for name, value in parse_url(url).items() if name.startswith("ssl_")}  # type: ignore[no-untyped-call]


def sentinel_options(place: RedisPlace, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What connections to the sentinels themselves are made with; TLS is the same as for those to the master."""
    user, password = place.sentinel_login
    tls = {name: value for name, value in arguments.items() if name.startswith("ssl_")}
    return {
        "socket_timeout": SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": SENTINEL_TIMEOUT_S,
        "username": user or None,
        "password": password or None,
        **({"ssl": True, **tls} if place.url.startswith("rediss://") else {}),
    }
