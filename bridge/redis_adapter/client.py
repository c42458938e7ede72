"""Connections to Redis; the only place that opens one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from bridge.redis_adapter.errors import REDIS_TROUBLES, store_error
from bridge.redis_adapter.keyspace import Keyspace
from bridge.redis_adapter.pools import async_pool, pool
from bridge.settings import ServerSettings
from bridge.settings.topology import RedisPlace, topology

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0
BRIEF_TIMEOUT_S = 1.0
RETRIES = 3
"""How often a command is tried again on a new connection, where its user leaves that to the client."""
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 1.0
HEALTH_CHECK_INTERVAL_S = 10

_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_timeout": REPLY_TIMEOUT_S,
    "socket_keepalive": True,
    "health_check_interval": HEALTH_CHECK_INTERVAL_S,
    "protocol": 2,
}
_BRIEF = {"socket_connect_timeout": BRIEF_TIMEOUT_S, "socket_timeout": BRIEF_TIMEOUT_S}


class StoreClient(redis.Redis):
    """A client of the store, with the names that this bridge's keys have there."""

    keyspace = Keyspace()


class AsyncStoreClient(redis.asyncio.Redis):
    """The same for asyncio."""

    keyspace = Keyspace()


def keyspace_of(client: "redis.Redis | redis.asyncio.Redis") -> Keyspace:
    """The names that its bridge's keys have; for a client that was made elsewhere, those without a prefix."""
    if isinstance(client, StoreClient | AsyncStoreClient):
        return client.keyspace
    return Keyspace(database=int(client.connection_pool.connection_kwargs.get("db") or 0))


def connect(settings: ServerSettings) -> redis.Redis:
    """A client for threads and processes. Opens no connection before its first command."""
    return _client(settings, topology(settings).store, retry=Retry(_backoff(), RETRIES))


def connect_broker(settings: ServerSettings, *, briefly: bool = False) -> redis.Redis:
    """A client of a Redis that is the broker, which may be another than the store. Leaves trying again to its user.

    ``briefly``: give up soon.
    """
    broker = topology(settings).broker
    assert broker is not None  # noqa: S101  (whoever calls this has looked)
    return _client(settings, broker, briefly=briefly, retry=Retry(NoBackoff(), 0))


def connect_briefly(settings: ServerSettings) -> redis.Redis:
    """A client for what can be left out: it gives up soon."""
    return _client(settings, topology(settings).store, briefly=True, retry=Retry(NoBackoff(), 0))


def connect_async(settings: ServerSettings) -> redis.asyncio.Redis:
    """A client for asyncio. Opens no connection before its first command."""
    connections = async_pool(topology(settings).store, {**_OPTIONS, "retry": AsyncRetry(_backoff(), RETRIES)})
    client = cast("AsyncStoreClient", AsyncStoreClient.from_pool(connections))
    client.keyspace = Keyspace.of(settings)
    return client


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=RETRY_FIRST_S, cap=RETRY_MAX_S)


def _client(settings: ServerSettings, place: RedisPlace, *, briefly: bool = False, retry: Retry) -> redis.Redis:
    options = {**_OPTIONS, **(_BRIEF if briefly else {}), "retry": retry}
    client = cast("StoreClient", StoreClient.from_pool(pool(place, options)))
    client.keyspace = Keyspace.of(settings)
    return client


def without_prefix(client: Any) -> redis.Redis:
    """A client over the connections of kombu's, which puts a prefix before keys, or before some of them; this none."""
    return redis.Redis(connection_pool=client.connection_pool)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn whatever redis-py raises into a StoreError, by what it calls for.

    Raises:
        StoreUnavailableError: Redis is away, full, starting or no master; trying again may help. A connection whose
            other end is the wrong one is closed by then.
        StoreRefusedError: Redis refuses for good: rights, password, cluster, a key that holds something else.
    """
    try:
        yield
    except REDIS_TROUBLES as error:
        raise store_error(error) from error


def text(value: bytes | str) -> str:
    """A Redis reply as text."""
    return value.decode() if isinstance(value, bytes) else value
