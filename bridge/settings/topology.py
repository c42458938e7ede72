"""Where the servers are, as facts about the set-up that are read from the settings once; pure."""

from functools import lru_cache
from urllib.parse import SplitResult, parse_qs, urlsplit, urlunsplit

import msgspec

from bridge.settings import ServerSettings

SENTINEL_SCHEME = "sentinel"
SENTINEL_PORT = 26_379
REDIS_PORT = 6379


class RedisPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where one Redis is: at an address, or whoever the sentinels call the master.

    Attributes:
        url: redis://, rediss:// or unix://, with user, password, database and options. Behind sentinels its host is
            that of the first sentinel, and only the rest counts.
        sentinels: host and port of each; none for a Redis at an address.
        master: how the sentinels call it; empty for a Redis at an address.
        sentinel_login: user and password of the sentinels themselves; empty if they want none.
    """

    url: str
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_login: tuple[str, str] = ("", "")

    @property
    def database(self) -> int:
        """Number of the database."""
        parts = urlsplit(self.url)
        named = parse_qs(parts.query).get("db", [""])[0]
        digits = named or ("" if parts.scheme == "unix" else parts.path.strip("/"))
        return int(digits) if digits.isdigit() else 0

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two places that are the same database of the same server, reached as the same user."""
        parts = urlsplit(self.url)
        where: object = (parts.hostname, parts.port or REDIS_PORT)
        if parts.scheme == "unix":
            where = parts.path
        elif self.sentinels:
            where = (frozenset(self.sentinels), self.master)
        return where, self.database, parts.username or ""

    def kombu_url(self) -> str:
        """As kombu wants it: user, password and database with every sentinel, since it may go on with any of them."""
        if not self.sentinels:
            return self.url
        login = urlsplit(self.url).netloc.rpartition("@")
        return ";".join(
            f"{SENTINEL_SCHEME}://{login[0]}{login[1]}{_bracketed(host)}:{port}/{self.database}"
            for host, port in self.sentinels
        )


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The servers of a bridge.

    Attributes:
        broker: the Redis that is the broker; None for RabbitMQ.
        store: the Redis that holds streams, pub/sub and the accounting.
    """

    broker: RedisPlace | None
    store: RedisPlace

    @property
    def on_redis(self) -> bool:
        """Whether the broker is a Redis, alone or behind sentinels."""
        return self.broker is not None

    @property
    def one_server(self) -> bool:
        """Whether broker and store are one database, so that one script can do both."""
        return self.broker is not None and self.broker.identity == self.store.identity

    @property
    def fails_over_as_one(self) -> bool:
        """Whether broker and store are databases of one server, which are replaced together."""
        return self.broker is not None and self.broker.identity[0] == self.store.identity[0]


@lru_cache(maxsize=16)
def topology(settings: ServerSettings) -> Topology:
    """The servers that the settings describe."""
    store_master = settings.redis_sentinel_master or settings.broker_sentinel_master
    amqp = settings.broker_url.startswith("amqp")
    return Topology(
        broker=None if amqp else _place(settings, settings.broker_url, settings.broker_sentinel_master),
        store=_place(
            settings, settings.store_url, store_master if settings.redis_url else settings.broker_sentinel_master
        ),
    )


def sentinel_parts(url: str) -> list[SplitResult]:
    """The members of a list of sentinels, the first with its scheme, the others with or without.

    Raises:
        ValueError: a port is no number.
    """
    members = [member.strip() for member in url.split(";") if member.strip()]
    return [urlsplit(member if "://" in member else f"{SENTINEL_SCHEME}://{member}") for member in members]


def _place(settings: ServerSettings, url: str, master: str) -> RedisPlace:
    if not url.startswith(f"{SENTINEL_SCHEME}://"):
        return RedisPlace(url=url)
    parts = sentinel_parts(url)
    login = next((one.netloc.rpartition("@")[0] for one in parts if "@" in one.netloc), "")
    path = next((one.path for one in parts if one.path.strip("/")), "/0")
    query = next((one.query for one in parts if one.query), "")
    sentinels = tuple((one.hostname or "127.0.0.1", one.port or SENTINEL_PORT) for one in parts)
    host, port = sentinels[0]
    netloc = f"{login}{'@' if login else ''}{_bracketed(host)}:{port}"
    return RedisPlace(
        url=urlunsplit(("rediss" if settings.sentinel_tls else "redis", netloc, path, query, "")),
        sentinels=sentinels,
        master=master,
        sentinel_login=(settings.sentinel_username, settings.sentinel_password),
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
