"""``look``: several reads in one moment, also of a Redis that is full."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import redis
from redis.exceptions import NoScriptError

from bridge.redis_adapter.client import script_text, store_errors

Command: TypeAlias = tuple[str, ...]
"""Words of a command that reads; the second is its key, if it has one."""


def look(client: redis.Redis, *commands: Command) -> Sequence[Any]:
    """The answers to commands that read, of one moment and as Redis gives them to a script.

    A score is text, a hash is a flat list, and what is not there is None.

    Raises:
        StoreError: Redis is away or refuses.
    """
    keys = [command[1] for command in commands if len(command) > 1]
    words = [msgspec.msgpack.encode(command) for command in commands]
    with store_errors():
        try:
            answers: Sequence[Any] = client.register_script(script_text("look"))(keys=keys, args=words)
        except NoScriptError:  # forgotten again since it was loaded
            answers = client.eval(script_text("look"), len(keys), *keys, *words)
    return answers


def as_hash(flat: Sequence[bytes | str]) -> dict[str, str]:
    """A hash in a look's answer."""
    words = [word.decode() if isinstance(word, bytes) else word for word in flat]
    return dict(zip(words[::2], words[1::2], strict=True))
