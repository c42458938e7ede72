"""Clients of Redis, at an address or behind sentinels: the only place that opens a connection; clock and master."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import FullJitterBackoff, NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from bridge.model.errors import SettingsError
from bridge.model.moments import LAST_MS
from bridge.redis_adapter import connections as classes
from bridge.redis_adapter.connections import ServerSeen
from bridge.redis_adapter.errors import REDIS_TROUBLES, store_error
from bridge.redis_adapter.keyspace import Keyspace
from bridge.settings import ServerSettings
from bridge.settings.topology import RedisPlace, topology

SENTINEL_TIMEOUT_S = 1.0
"""A sentinel that does not answer in this time is passed over, for the next one."""
CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0
BRIEF_TIMEOUT_S = 1.0
TIMEOUT_MAX_S = 86_400
"""The longest that a URL may ask for."""
RETRIES = 3
"""How often a command is tried again on a new connection, where its user leaves that to the client."""
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 1.0
HEALTH_CHECK_INTERVAL_S = 10
is_number = re.compile("-?[0-9]{1,14}").fullmatch
"""As ``whole`` of the scripts' prelude: a double tells no greater ones apart."""
ASK_TIME_AGAIN_S = 10.0
"""Redis is asked for the time this often; in between it is counted on, by a monotonic clock."""


_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_timeout": REPLY_TIMEOUT_S,
    "socket_keepalive": True,
    "health_check_interval": HEALTH_CHECK_INTERVAL_S,
    "protocol": 2,
}
_TCP_ONLY = ("socket_connect_timeout", "socket_keepalive")
"""Options that a socket of this machine does not take."""
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


def connect(settings: ServerSettings, *, insists: bool = True) -> redis.Redis:
    """A client for threads and processes. Opens no connection before its first command.

    ``insists``: ask again what was not answered in time; without it, only what a broken connection did not take.
    """
    retry = Retry(_backoff(), RETRIES)
    if not insists:
        retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return _client(settings, topology(settings).store, retry=retry)


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


def _backoff() -> FullJitterBackoff:
    return FullJitterBackoff(base=RETRY_FIRST_S, cap=RETRY_MAX_S)


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
    r"""A Redis reply as text; what a stranger wrote that is no UTF-8 as ``\xff``, which no JSON takes for a text."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def moment_ms(score: bytes | str | float) -> int:
    """A score as ms since the epoch; the nearest such moment where a stranger wrote what no calendar knows."""
    return int(exact_ms(score))


def exact_ms(score: bytes | str | float) -> float:
    """As ``moment_ms``, with the fraction that says of a retry that it is being tried."""
    return min(max(float(score), 0.0), float(LAST_MS))


def numbers(pairs: Iterable[tuple[bytes | str, bytes | str]]) -> dict[str, int]:
    """Name → number, without what is no whole number or too large for one, as a stranger may have written it."""
    return {text(name): int(value) for name, value in pairs if is_number(text(value))}


class StoreClock:
    """``bridge.ports.Clock`` by Redis, asked once in ``ASK_TIME_AGAIN_S``. For threads and forked processes."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._asked: tuple[float, float] | None = None

    def now_s(self) -> float:
        """Seconds since the epoch, right to within half a round trip."""
        asked = self._asked
        if asked is None or monotonic() - asked[0] >= ASK_TIME_AGAIN_S:
            asked = self._asked = self._ask()
        return asked[1] + monotonic() - asked[0]

    def now(self) -> datetime:
        """The same as a UTC time."""
        return datetime.fromtimestamp(self.now_s(), UTC)

    def now_ms(self) -> int:
        """Whole milliseconds since the epoch, asked for now."""
        with store_errors():
            seconds, microseconds = self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _ask(self) -> tuple[float, float]:
        """The same moment on the monotonic clock and on Redis'."""
        begun = monotonic()
        with store_errors():
            seconds, microseconds = self._client.time()
        return (begun + monotonic()) / 2, seconds + microseconds / 1e6


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
    _try_options(kind, arguments)
    return kind, arguments


def _try_options(kind: str, arguments: Mapping[str, Any]) -> None:
    """Make a connection without opening it; redis-py would stumble over its options at the first command.

    Raises:
        SettingsError: it knows one of them not at all, or no such time.
    """
    try:
        classes.DIRECT[kind](**{name: value for name, value in arguments.items() if name != "max_connections"})
    except TypeError as error:
        said = "has an option that redis-py does not know. Take it out, or spell it right."
        raise SettingsError(f"BRIDGE_REDIS_URL or BRIDGE_BROKER_URL {said}") from error
    for name in ("socket_timeout", "socket_connect_timeout"):
        if not 0 < arguments.get(name, REPLY_TIMEOUT_S) <= TIMEOUT_MAX_S:
            said = f"has a {name} that is no time between 0 and {TIMEOUT_MAX_S:,} s."
            raise SettingsError(f"BRIDGE_REDIS_URL or BRIDGE_BROKER_URL {said}")


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


def watch_server(settings: ServerSettings, client: redis.Redis, queue: object) -> ServerSeen:
    """Where the connections of a client of the store and of a queue lead, if both fail over as one."""
    seen = ServerSeen()
    if topology(settings).fails_over_as_one:
        for pool in (client.connection_pool, cast("Any", queue).connection_pool):
            cast("Any", pool).seen = seen
    return seen


class MasterWatch:
    """``bridge.ports.MasterWatch`` on Redis, for all connections of a client. Compares nothing with another broker."""

    def __init__(self, client: redis.Redis, settings: ServerSettings) -> None:
        self._pool = cast("Any", client.connection_pool)
        if topology(settings).fails_over_as_one:
            self._pool.seen = ServerSeen()

    def begin(self, claimed_on: str) -> Callable[[], bool]:
        seen: ServerSeen | None = self._pool.seen
        if seen is None or not claimed_on:
            return lambda: True
        if seen.name not in ("", claimed_on):
            self._pool.drop_idle(is_no_master=True)
            seen.name = ""
        moves = seen.moves
        return lambda: seen.name in ("", claimed_on) and seen.moves == moves
