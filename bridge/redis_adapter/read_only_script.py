"""``look``: several reads in one moment, also of a Redis that is full."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import redis

from bridge.redis_adapter.client import store_errors
from bridge.redis_adapter.script import script

Command: TypeAlias = tuple[str, ...]
"""Words of a command that reads; the second is its key, if it has one."""


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
    words = [word.decode() if isinstance(word, bytes) else word for word in flat]
    return dict(zip(words[::2], words[1::2], strict=True))
