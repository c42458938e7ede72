"""Whose event it is, as far as that is known without an extractor: a user's events must keep their order; pure."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeAlias, cast
from uuid import UUID

import uuid6

from bridge.registry import Audience, DomainToSSEMapping
from bridge.registry.addressing import attribute_returned

User: TypeAlias = str | int
"""What tells one user from another; of a UUID its number, which is compared in a tenth of the time."""


def user_reader(mapping: DomainToSSEMapping) -> Callable[[Any], object]:
    """What reads the user from an event on the caller's thread: one attribute, and none of anybody's code.

    Returns:
        A reader of the attribute that the mapping's extractor returns as it is. Where it does anything else, and where
        an event is for everybody, a reader of nothing: such an event keeps its place among all others.
    """
    name = attribute_returned(mapping.user_id_extractor) if mapping.audience is Audience.USER else None
    return attrgetter(name) if name is not None else _unknown


def known(user: object) -> User | None:
    """A user as it was read, if it can be compared without running anybody's code."""
    kind = type(user)
    if kind is UUID or kind is uuid6.UUID:
        return cast("UUID", user).int
    return cast("User", user) if kind is str or kind is int else None


def _unknown(_: object) -> None:
    return None
