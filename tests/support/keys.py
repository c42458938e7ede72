"""The keys of a bridge without a prefix, in database 0: ``keys.COUNTS``, ``keys.user_stream(user)``."""

from typing import Any

from bridge import User
from bridge.model.registry import Id
from bridge.redis_adapter.keyspace import Keyspace

UNPREFIXED = Keyspace()


def user_stream(user: Id) -> str:
    """Stream of one user."""
    return UNPREFIXED.stream(User(user))


def user_channel(user: Id) -> str:
    """Channel of one user."""
    return UNPREFIXED.channel(User(user))


def __getattr__(name: str) -> Any:
    return getattr(UNPREFIXED, name)
