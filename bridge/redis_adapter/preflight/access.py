"""Which of its rights a user of Redis lacks: each command, key and channel is tried, so that nothing changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import redis

from bridge.redis_adapter.acl_rights import Rights, Scratch
from bridge.redis_adapter.errors import diagnose

_ONE, _HASH, _SORTED, _SET, _STREAM, _LIST = "string", "hash", "sorted", "set", "stream", "list"
_TRIALS: Mapping[str, tuple[str, Sequence[Any]]] = {
    "getdel": (_ONE, ()),
    "get": (_ONE, ()), "set": (_ONE, (1, "EX", 60)), "mget": (_ONE, ()), "exists": (_ONE, ()), "expire": (_ONE, (60,)),
    "pexpire": (_ONE, (60_000,)), "type": (_ONE, ()), "watch": (_ONE, ()), "del": (_ONE, ()),
    "hset": (_HASH, ("f", 1)), "hget": (_HASH, ("f",)), "hsetnx": (_HASH, ("f", 1)), "hincrby": (_HASH, ("f", 1)),
    "hgetall": (_HASH, ()), "hmget": (_HASH, ("f",)), "hlen": (_HASH, ()), "hexists": (_HASH, ("f",)),
    "hscan": (_HASH, (0,)), "hstrlen": (_HASH, ("f",)), "hdel": (_HASH, ("f",)),
    "zadd": (_SORTED, (1, "m")), "zcard": (_SORTED, ()), "zcount": (_SORTED, (0, 1)), "zrange": (_SORTED, (0, -1)),
    "zrevrange": (_SORTED, (0, -1)), "zrangebyscore": (_SORTED, (0, 1)), "zrevrangebyscore": (_SORTED, (1, 0)),
    "zscore": (_SORTED, ("m",)), "zmscore": (_SORTED, ("m",)), "zremrangebyrank": (_SORTED, (1, 1)),
    "zremrangebyscore": (_SORTED, (1, 0)),
    "zrem": (_SORTED, ("m",)),
    "sadd": (_SET, ("m",)), "scard": (_SET, ()), "smembers": (_SET, ()),
    "srem": (_SET, ("m",)),
    "xadd": (_STREAM, ("*", "f", 1)), "xrange": (_STREAM, ("-", "+")), "xrevrange": (_STREAM, ("+", "-")),
    "xinfo|stream": (_STREAM, ()),
    "lpush": (_LIST, ("i",)), "rpush": (_LIST, ("i",)), "llen": (_LIST, ()), "lrange": (_LIST, (0, -1)),
    "lindex": (_LIST, (0,)), "ltrim": (_LIST, (0, 9)), "rpop": (_LIST, ()),
}  # fmt: skip
"""Commands on a key: the kind of key, and what follows its name."""
_KEYLESS: Mapping[str, Sequence[Any]] = {
    "ping": (), "time": (), "info": ("server",), "scan": (0, "COUNT", 1),
    "multi": (), "exec": (), "unwatch": (),
    "eval": ("return 1", 0), "evalsha": ("0" * 40, 0), "script|load": ("return 1",), "script|exists": ("0" * 40,),
    "client|setname": ("bridge-check",), "client|tracking": ("OFF",),
}  # fmt: skip
_LISTENING = ("subscribe", "psubscribe", "unsubscribe", "punsubscribe")


@dataclass(slots=True)
class Missing:
    """Rights that a user lacks: commands, and patterns of keys and channels."""

    commands: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.commands or self.keys or self.channels)

    def sentence(self) -> str:
        """What is missing, in words, and as ``ACL SETUSER`` takes it."""
        parts = (
            ("run", [command.replace("|", " ").upper() for command in self.commands]),
            ("use the keys", self.keys),
            ("use the channels", self.channels),
        )
        words = "; ".join(f"{verb} {', '.join(what)}" for verb, what in parts if what)
        rules = [f"+{command}" for command in self.commands]
        rules += [f"~{pattern}" for pattern in self.keys] + [f"&{pattern}" for pattern in self.channels]
        return f"its user may not {words}; give it: {' '.join(rules)}"


def missing_rights(client: redis.Redis, rights: Rights, scratch: Scratch, database: int) -> Missing:
    """Try each right once. What is written goes to scratch keys, which are removed.

    Raises:
        redis.RedisError: the server is away, or refuses for another reason than its user's rights.
    """
    missing = Missing()
    maker: Any = client  # untyped in redis-py
    with maker.client() as one:  # MULTI, WATCH and SELECT belong to a connection
        trial = _Trial(one, scratch, database, rights.channels)
        missing.commands += [command for command in rights.commands if not trial.may_run(command)]
        if "eval" not in missing.commands:
            refused = [name for name in rights.names if not trial.may_use(name)]
            missing.keys += dict.fromkeys(_pattern_of(name, rights.keys) for name in refused)
        if "del" not in missing.commands:
            trial.clean_up()
    if "subscribe" in rights.commands and "subscribe" not in missing.commands:
        missing.channels += [
            pattern for pattern in rights.channels if not _may_hear(client, pattern, "psubscribe" in rights.commands)
        ]
    return missing


class _Trial:
    def __init__(self, client: redis.Redis, scratch: Scratch, database: int, channels: Sequence[str]) -> None:
        self._client: Any = client
        self._scratch = scratch
        # PSUBSCRIBE wants a pattern that the rights have to the letter.
        self._channel = next((one for one in channels if "*" not in one), scratch.channel)
        self._database = database

    def may_run(self, command: str) -> bool:
        """Whether the user may run a command, tried once where it does no harm."""
        if command in _LISTENING:
            return _may_listen(self._client, command, self._channel)
        if command == "select":
            return self._allows("run the", "SELECT", self._database)
        if command == "lmove":
            one, other = f"{self._scratch.root}{_LIST}", f"{self._scratch.root}{_LIST}:other"
            return self._allows("run the", "LMOVE", one, other, "LEFT", "RIGHT")
        if command == "publish":
            return self._allows("run the", "PUBLISH", self._scratch.channel, "")
        words = command.upper().split("|")
        if command in _KEYLESS:
            return self._allows("run the", *words, *_KEYLESS[command])
        kind, rest = _TRIALS[command]
        return self._allows("run the", *words, self._scratch.root + kind, *rest)

    def may_use(self, key: str) -> bool:
        """EVAL that does nothing wants the right to read and to write its keys."""
        return self._allows("access", "EVAL", "return 1", 1, key)

    def clean_up(self) -> None:
        """Remove the scratch keys."""
        for kind in (_ONE, _HASH, _SORTED, _SET, _STREAM, _LIST, f"{_LIST}:other"):
            self._allows("", "DEL", self._scratch.root + kind)

    def _allows(self, refusal: str, *words: Any) -> bool:
        """Whether the user has the right. Any other answer, also an error, comes from behind that question."""
        try:
            self._client.execute_command(*words)
        except redis.ConnectionError:
            raise
        except redis.RedisError as error:
            text = diagnose(error).text  # of EXEC the code is another one
            return not ("permission" in text and refusal in text)
        except (TypeError, ValueError, KeyError, IndexError):
            return True  # redis-py could not read the answer
        return True


def _may_listen(client: Any, command: str, channel: str) -> bool:
    # RESP2 connections that listen understand little else, so each gets one of its own.
    with client.pubsub() as listening:
        try:
            listening.execute_command(command.upper(), channel)
            listening.parse_response(timeout=1)
        except redis.ConnectionError:
            raise
        except redis.RedisError as error:
            trouble = diagnose(error)
            return not (trouble.code == "NOPERM" and "run the" in trouble.text)
    return True


def _may_hear(client: Any, pattern: str, by_pattern: bool) -> bool:
    command = "PSUBSCRIBE" if by_pattern and "*" not in pattern else "SUBSCRIBE"
    with client.pubsub() as listening:
        try:
            listening.execute_command(command, pattern.replace("*", "check"))
            listening.parse_response(timeout=1)
        except redis.ConnectionError:
            raise
        except redis.RedisError as error:
            return diagnose(error).code != "NOPERM"
    return True


def _pattern_of(name: str, patterns: Sequence[str]) -> str:
    # Brackets and question marks in a prefix would be patterns themselves; there are none in ours.
    return next((pattern for pattern in patterns if fnmatchcase(name, pattern)), name)
