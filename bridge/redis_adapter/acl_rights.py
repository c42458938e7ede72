"""What each process may do on a Redis with users (ACL): the least rights with which it does all of its work; pure.

docs/operating.md lists them, `sse-bridge check --connect` looks for them one by one, and a test runs the whole bridge
with exactly these.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

from bridge.model.registry import EVERYONE, TopicAddress, User
from bridge.redis_adapter import Keyspace
from bridge.settings import Process, QueueSettings
from bridge.settings.topology import topology

Server = Literal["redis", "broker"]
"""The store is ``redis``; a broker that is another Redis is ``broker``."""

_EVERY = ("select", "ping", "time", "eval", "evalsha", "script|load", "script|exists", "del")
"""DEL is for `check --connect` alone, which cleans up behind itself."""
_ANNOUNCE = (
    "get", "set", "hget", "hset", "hsetnx", "hincrby", "hdel", "hgetall", "hlen", "zadd", "zcard", "zremrangebyrank",
)  # fmt: skip
_SETTLE = (
    "get", "set", "exists", "expire", "hget", "hset", "hsetnx", "hdel", "hincrby", "hgetall", "hmget", "hlen",
    "hexists", "hstrlen", "zadd", "zrem", "zcard", "zrange", "zscore", "zmscore", "zremrangebyrank",
    "sadd", "srem", "scard", "xadd", "xinfo|stream", "lpush", "lindex", "ltrim", "publish", "info", "type", "mget",
)  # fmt: skip
_LISTEN = ("subscribe", "unsubscribe", "client|setname")
_SERVE = (
    "get", "set", "mget", "exists", "xrange", "xinfo|stream", "hset", "hgetall", "hdel", "hincrby", "zrange", "zscore",
    "getdel", *_LISTEN,
)  # fmt: skip
_OPERATE = (
    "get", "set", "mget", "exists", "expire", "type", "scan", "hget", "hset", "hsetnx", "hdel", "hincrby", "hgetall",
    "hmget", "hlen", "hexists", "hscan", "hstrlen", "zadd", "zrem", "zcard", "zcount", "zrange",
    "zrevrange", "zscore", "zmscore", "zremrangebyrank", "zremrangebyscore", "sadd", "srem", "scard", "xadd", "xrange",
    "xrevrange", "publish", "xinfo|stream", "lrange", "lindex", "multi", "exec", "info", *_LISTEN,
)  # fmt: skip
_KOMBU = (
    "sadd", "srem", "scard", "smembers", "zadd", "zrem", "zrange", "zrangebyscore", "zrevrangebyscore", "exists",
    "llen", "lpush", "rpush", "rpop", "hget", "hset", "hdel", "hincrby", "get", "set", "pexpire", "multi", "exec",
    "watch", "unwatch", "publish", "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "client|tracking", "info",
    "scan", "hscan", "lmove", "type",
)  # fmt: skip
_LOOK = (
    "exists",
    "llen",
    "lrange",
    "lindex",
    "lpush",
    "lmove",
    "hlen",
    "hget",
    "hset",
    "hscan",
    "scan",
    "type",
    "info",
)

_SAMPLE = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a user of Redis may do."""

    commands: tuple[str, ...]  # in small letters; a subcommand with ``|`` before it
    keys: tuple[str, ...]  # patterns
    channels: tuple[str, ...] = ()  # patterns. PSUBSCRIBE wants its pattern to the letter.
    names: tuple[str, ...] = ()  # keys that the process uses, to try the patterns on

    def rules(self) -> list[str]:
        """As ``ACL SETUSER`` takes them, behind name and password."""
        return [
            *(f"~{pattern}" for pattern in self.keys),
            *(f"&{pattern}" for pattern in self.channels),
            *(f"+{command}" for command in self.commands),
        ]

    def __or__(self, other: "Rights") -> "Rights":
        return Rights(
            _once(self.commands, other.commands),
            _once(self.keys, other.keys),
            _once(self.channels, other.channels),
            _once(self.names, other.names),
        )


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where one trial of rights happens: names that no other process uses; all under them is removed again."""

    root: str  # what every key begins with
    channel: str  # no client listens to it

    @classmethod
    def within(cls, rights: Rights) -> "Scratch":
        """Names that a process with these rights may use."""
        name = f"check-{uuid4().hex[:12]}:"
        pattern = next(key for key in rights.keys if key.endswith("*"))
        channel = next((one.removesuffix("*") for one in rights.channels if one.endswith("*")), "")
        return cls(pattern.removesuffix("*") + name, channel + name)


def rights_of(process: Process, settings: QueueSettings) -> dict[Server, Rights]:
    """What a process needs on each Redis that the settings name; RabbitMQ is none."""
    rights: dict[Server, Rights] = {"redis": _on_store(process, settings)}
    servers = topology(settings)
    if servers.broker is None or process == "gateway":
        return rights
    on_broker = _on_broker(process, settings.queue_prefix, servers.broker.database)
    if servers.one_server:
        rights["redis"] |= on_broker
    else:
        rights["broker"] = on_broker | _sending_elsewhere(settings)
    return rights


def _sending_elsewhere(settings: QueueSettings) -> Rights:
    """The script that sends names the accounting's keys also where they are on another server."""
    keys = Keyspace.of(settings)
    return Rights((), (f"{settings.prefix}bridge:*", f"{keys.POSITION}*"), names=(keys.OPEN, keys.POSITION))


def _on_store(process: Process, settings: QueueSettings) -> Rights:
    keys = Keyspace.of(settings)
    accounting, streams = f"{settings.prefix}bridge:*", f"{settings.prefix}sse:*"
    channels = (keys.BROADCAST_CHANNEL.removesuffix("broadcast") + "*",)
    match process:
        case "producer":
            # Whoever sends and sees that Redis was set back begins the order of the streams anew.
            names = (keys.OPEN, keys.COUNTS, keys.PRODUCERS, keys.POSITION, keys.BEGAN)
            return Rights((*_EVERY, *_ANNOUNCE), (accounting, f"{keys.POSITION}*"), names=names)
        case "worker":
            return Rights((*_EVERY, *_SETTLE), (accounting, streams), channels, tuple(_names(keys)))
        case "gateway":
            own = (keys.METRICS, keys.GATEWAYS)
            return Rights(
                (*_EVERY, *_SERVE), (streams, *own), channels, (*_stream_names(keys), *_ticket_names(keys), *own)
            )
    return Rights((*_EVERY, *_OPERATE), (accounting, streams), channels, tuple(_names(keys)))


def _on_broker(process: Process, before: str, database: int) -> Rights:
    queues, claims, queue = f"{before}bridge.*", f"{before}unacked*", f"{before}bridge.check"
    if process == "producer":
        commands = ("lpush", "llen", "get", "set", "hget", "hset", "hsetnx", "hincrby")
        return Rights((*_EVERY, *commands), (queues,), names=(queue,))
    if process != "worker":
        return Rights((*_EVERY, *_LOOK), (queues, claims), names=(queue, f"{before}unacked"))
    names = ("bridge:deliveries", "unacked", "unacked_index", "unacked_mutex", "check.celery.pidbox", "celeryev.check")
    bindings = ("binding.bridge", "binding_permanent.bridge", "binding_deadlines")
    return Rights(
        (*_EVERY, *_KOMBU),
        (queues, f"{before}bridge:*", claims, f"{before}_kombu.*", f"{before}*.celery.pidbox", f"{before}celeryev*"),
        (f"{before}/{database}.celery.pidbox", f"{before}/{database}.celeryev/*"),
        (queue, *(f"{before}{name}" for name in names), *(f"{before}_kombu.{name}" for name in bindings)),
    )


def _stream_names(keys: Keyspace) -> Iterator[str]:
    yield from (keys.POSITION, keys.BEGAN, keys.BROADCAST_TIP, keys.RETENTIONS, keys.WITHDRAWALS)
    for address in (User(_SAMPLE), TopicAddress("check", _SAMPLE), EVERYONE):
        yield from (keys.stream(address), keys.seen(address, _SAMPLE))


def _ticket_names(keys: Keyspace) -> Iterator[str]:
    yield from (keys.ticket("check"), keys.tickets_issued("check"))


def _names(keys: Keyspace) -> Iterator[str]:
    yield from _stream_names(keys)
    yield from (value for name, value in vars(keys).items() if name.isupper() and value.startswith(f"{keys.prefix}bri"))
    yield from (keys.booked("check"), keys.redrive("check"))


def _once(*groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for group in groups for one in group))
