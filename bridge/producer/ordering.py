"""Whose event it is, as far as that is known without an extractor: a user's events must keep their order; pure."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeAlias, cast
from uuid import UUID

import uuid6

from bridge.model.registry import Audience, DomainToSSEMapping, IdType
from bridge.model.registry.addressing import attribute_returned
from bridge.model.registry.identifiers import UUIDS

User: TypeAlias = str | int
"""What tells one user from another; of a UUID its number, which is compared in a tenth of the time."""


def user_reader(mapping: DomainToSSEMapping, users: IdType = UUIDS) -> Callable[[Any], object]:
    """What reads the user from an event on the caller's thread: one attribute, and none of anybody's code.

    Returns:
        A reader of the attribute that the mapping's extractor returns as it is. Where it does anything else, and where
        an event is for everybody, a reader of nothing: such an event keeps its place among all others. Numbers and
        texts are checked, and IdError raised; for UUIDs the type of the event's field does that.
    """
    name = attribute_returned(mapping.user_id_extractor) if mapping.audience is Audience.USER else None
    if name is None:
        return _unknown
    read = attrgetter(name)
    return read if users.plain is not None else lambda event: _checked(read(event), users)


def known(user: object) -> User | None:
    """A user as it was read, if it can be compared without running anybody's code."""
    kind = type(user)
    if kind is UUID or kind is uuid6.UUID:
        return cast("UUID", user).int
    return cast("User", user) if kind is str or kind is int else None


def _checked(user: object, users: IdType) -> object:
    return None if user is None else users.checked(user)


def _unknown(_: object) -> None:
    return None
