"""The keys of a bridge without a prefix, in database 0: ``keys.COUNTS``, ``keys.user_stream(user)``."""

from typing import Any

from bridge.redis_adapter.keyspace import Keyspace

UNPREFIXED = Keyspace()


def __getattr__(name: str) -> Any:
    return getattr(UNPREFIXED, name)
