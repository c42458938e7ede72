"""``Script``: the one way to run a Lua script: by its hash, and by its text on a server that does not know it."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, TypeAlias

import msgspec
import redis
import redis.asyncio
from redis.exceptions import NoScriptError

from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.keyspace import Keyspace

Words: TypeAlias = Sequence[str | int | float | bytes]
Answer: TypeAlias = Any
"""What a script returns, as redis-py reads it."""
Command: TypeAlias = tuple[str, ...]
"""Words of a command that reads; the second is its key, if it has one."""

_LISTED = re.compile(r"^-- (?:KEYS:((?: \w+)+)|(KEYS|ARGV)\.(\w+)(…?))", re.MULTILINE)
_NAMED = re.compile(r"\b(KEYS|ARGV|AT)\.(\w+)")
_DEFINED = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")


UNKNOWN_SCRIPT = NoScriptError
"""What a server answers that does not know a script by its hash."""


class Call(NamedTuple):
    """Keys and arguments of one call."""

    keys: Sequence[str]
    arguments: Words


class Script:
    """One script: its text and hash, and how to call it. A call that Redis refuses is never made a second time.

    Whatever asks Redis raises redis.RedisError where it is away or refuses.

    Args:
        source: in Lua, with ``KEYS.name`` and ``ARGV.name`` as the header lists them; see ``scripts/prelude.lua``.

    Attributes:
        key_names: in their order, without the names of the list at the end, if there is one.

    Raises:
        LookupError: it uses a name that its header does not list.
    """

    __slots__ = ("key_names", "sha", "text")

    def __init__(self, source: str) -> None:
        listed = _listed(source)
        self.key_names = tuple(name for kind, name, rest in listed if kind == "KEYS" and not rest)
        self.text = _numbered(_behind_prelude(source), listed)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def keys(self, keyspace: Keyspace | None, /, *more: str, **own: str) -> tuple[str, ...]:
        """Its keys in their order.

        Args:
            keyspace: where to look for those that are not given; None if all are.
            more: the list at the end.
            own: keys by name; those that the script does not have are passed over.

        Raises:
            AttributeError: one is missing.
        """
        named = (own[name] if name in own else getattr(keyspace, name.upper()) for name in self.key_names)
        return (*named, *more)

    def command(self, call: Call, *, by_text: bool = False) -> tuple[str | int | float | bytes, ...]:
        """The words of a call, for whoever sends them himself; by text after a NoScriptError."""
        start = ("EVAL", self.text) if by_text else ("EVALSHA", self.sha)
        return (*start, len(call.keys), *call.keys, *call.arguments)

    def run(self, client: redis.Redis, arguments: Words = (), more: Sequence[str] = (), /, **own: str) -> Answer:
        """Call it with the keys of the client's bridge, or those given as for ``keys``, and wait for the answer."""
        return self.send(client, Call(self.keys(keyspace_of(client), *more, **own), arguments))

    def send(self, client: redis.Redis, call: Call) -> Answer:
        """Make a call and wait for the answer."""
        execute: Any = client.execute_command
        try:
            return execute(*self.command(call))
        except NoScriptError:
            return execute(*self.command(call, by_text=True))

    async def run_async(
        self, client: redis.asyncio.Redis, arguments: Words = (), more: Sequence[str] = (), /, **own: str
    ) -> Answer:
        """As ``run``, for asyncio."""
        return await self.send_async(client, Call(self.keys(keyspace_of(client), *more, **own), arguments))

    async def send_async(self, client: redis.asyncio.Redis, call: Call) -> Answer:
        """As ``send``, for asyncio."""
        execute: Any = client.execute_command
        try:
            return await execute(*self.command(call))
        except NoScriptError:
            return await execute(*self.command(call, by_text=True))

    def run_many(self, client: redis.Redis, calls: Sequence[Call]) -> list[Answer]:
        """Run it several times in one round trip, or two on a server that does not know it; one answer a call.

        If one fails, the others may have been made.
        """
        answers = self._pipelined(client, calls, by_text=False)
        # A server may forget its scripts between two commands: what it took must not be sent twice.
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        again = self._pipelined(client, [calls[place] for place in unknown], by_text=True) if unknown else []
        for place, answer in zip(unknown, again, strict=True):
            answers[place] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _pipelined(self, client: redis.Redis, calls: Sequence[Call], *, by_text: bool) -> list[Answer]:
        with client.pipeline(transaction=False) as pipeline:
            execute: Any = pipeline.execute_command
            for call in calls:
                execute(*self.command(call, by_text=by_text))
            return pipeline.execute(raise_on_error=False)


class PipelinedScriptCall:
    """One call whose answer is read later, on a connection of its own, which is closed if it is not read.

    It is not tried again when the connection breaks; only a server that has forgotten the script is asked again.
    """

    __slots__ = ("_by_text", "_connection", "_packed", "_pool")

    def __init__(self, script: Script, client: redis.Redis, call: Call) -> None:
        self._connection: Any = None
        execute: Any = client.execute_command
        self._by_text: Any = lambda: execute(*script.command(call, by_text=True))
        self._pool: Any = client.connection_pool
        # A number would be turned into text in C, where redis-py's packer does not bear a signal's exception.
        words = [word if isinstance(word, bytes) else str(word) for word in script.command(call)]
        try:
            self._connection = self._pool.get_connection()
            self._packed = self._connection.pack_command(*words)
        except BaseException:
            self.abandon()
            raise

    def send(self) -> None:
        """Ask Redis; once."""
        try:
            self._connection.send_packed_command(self._packed)
        except BaseException:
            self.abandon()
            raise

    def answer(self) -> Any:
        """Wait for the answer; once. If it does not come, the call may have been made."""
        try:
            answer = self._connection.read_response()
        except NoScriptError:
            self._release()
            return self._by_text()
        except redis.ResponseError:
            self._release()
            raise
        except BaseException:
            self.abandon()
            raise
        self._release()
        return answer

    def abandon(self) -> None:
        """Close the connection; an answer to what was sent on it will not be read. Idempotent."""
        if self._connection is not None:
            self._connection.disconnect()
            self._release()

    def __del__(self) -> None:
        """A signal's exception may come between the call and whoever was to keep it."""
        self.abandon()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        self._pool.release(connection)


@cache
def script(name: str) -> Script:
    """The script in ``scripts/<name>.lua``."""
    return Script(_sources()[name])


class OfStore:
    """A part of what is kept in Redis, over a client that stays its owner's to close."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)

    def _run(self, name: str, arguments: Words = (), more: Sequence[str] = (), /, **own: str) -> Answer:
        """As ``Script.run``, for the script of a name; raises StoreError."""
        with store_errors():
            return script(name).run(self._client, arguments, more, **own)


def look(client: redis.Redis, *commands: Command) -> Sequence[Any]:
    """The answers to commands that read, of one moment and as Redis gives them to a script.

    A score is text, a hash is a flat list, and what is not there is None.
    """
    keys = [command[1] for command in commands if len(command) > 1]
    words = [msgspec.msgpack.encode(command) for command in commands]
    with store_errors():
        answers: Sequence[Any] = script("look").run(client, words, keys)
    return answers


def as_hash(flat: Sequence[bytes | str]) -> dict[str, str]:
    """A hash in a look's answer."""
    words = list(map(text, flat))
    return dict(zip(words[::2], words[1::2], strict=True))


@cache
def _sources() -> Mapping[str, str]:
    """Every script, read with the first: later the process may be another user's, who cannot read the package."""
    found = (entry for entry in files(__package__).joinpath("scripts").iterdir() if entry.name.endswith(".lua"))
    return {entry.name.removesuffix(".lua"): entry.read_text(encoding="utf-8") for entry in found}


def _listed(source: str) -> list[tuple[str, str, str]]:
    """What a script's header lists, in order: KEYS or ARGV, the name, and … if a list begins there."""
    listed = []
    for keys, kind, name, rest in _LISTED.findall(source):
        listed += [("KEYS", key, "") for key in keys.split()] or [(kind, name, rest)]
    return listed


def _behind_prelude(source: str) -> str:
    """A script behind the blocks of the prelude that it names; its flags stay in the first line."""
    flags, body = source.split("\n", 1) if source.startswith("#!") else ("", source)
    wanted, blocks = _COMMENT.sub("", body), []
    for names, block in reversed(_blocks()):
        if any(re.search(rf"\b{name}\b", wanted) for name in names):
            blocks.append(block)
            wanted += _COMMENT.sub("", block)
    return "\n".join([*([flags] if flags else []), *reversed(blocks), body])


@cache
def _blocks() -> Sequence[tuple[Sequence[str], str]]:
    """What each block of the prelude defines, and its text. A block ends before a blank line and text at the margin."""
    blocks = re.split(r"\n\n(?=\S)", _sources()["prelude"])
    return [(_DEFINED.findall(block), block.rstrip("\n") + "\n") for block in blocks if _DEFINED.search(block)]


def _numbered(text: str, listed: Sequence[tuple[str, str, str]]) -> str:
    """A script with numbers in place of the names that its header lists."""
    places = {}
    for kind in ("KEYS", "ARGV"):
        names = [(name, rest) for of, name, rest in listed if of == kind]
        for place, (name, rest) in enumerate(names, start=1):
            places["AT" if rest else kind, name] = str(place) if rest else f"{kind}[{place}]"
    for kind, name in _NAMED.findall(_COMMENT.sub("", text)):
        if (kind, name) not in places:
            raise LookupError(f"the script's header does not list {kind}.{name}")
    return _NAMED.sub(lambda found: places.get((found[1], found[2]), found[0]), text)
