"""``catalog_of``: a registry in one line, for event classes whose fields are told to their user as they are."""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, get_args, get_type_hints
from uuid import UUID

from bridge.model.errors import RegistryError
from bridge.model.registry import DomainToSSEMapping, Id, Registry, SSEEventMetadata

USER_FIELD = "user_id"
ID_KINDS = (UUID, int, str)
OWN_FIELDS = ("event_id", "occurred_at", USER_FIELD)
"""What every event has, and no payload."""


def catalog_of(events: Mapping[str, type[Any]], *, user_id: type = UUID) -> Registry:
    """A registry of event classes by their wire names: ``catalog_of({"order.paid": OrderPaid}, user_id=int)``.

    The category is what stands before the first dot. An event goes to the user in its field ``user_id``, None is no
    recipient; its other fields, in their order, are the payload. Whoever wants more writes a ``Registry``.

    Args:
        events: each class is a dataclass, an attrs class or a msgspec Struct, for instance one of ``bridge.Event``.
        user_id: what the application calls its users: ``UUID``, ``int`` or ``str``.

    Raises:
        RegistryError: a class has no field ``user_id``, or one of another type; or what ``Registry`` finds.
    """
    if faults := [_lacks_user(kind) for kind in events.values() if USER_FIELD not in _fields_of(kind)]:
        raise RegistryError(faults=tuple(faults))
    names = {name: name.partition(".")[0] for name in events}
    if faults := [fault for kind in events.values() if (fault := _has_other_user(kind, user_id))]:
        raise RegistryError(faults=tuple(faults))
    # mypy wants the members of an enum spelled out.
    make: Any = StrEnum
    categories = make("Category", {one.upper(): one for one in names.values()})
    types = make("Type", {name.upper().replace(".", "_"): name for name in names})
    return Registry(
        event_types=types,
        categories=categories,
        events=[
            SSEEventMetadata(types(name), categories(names[name]), f"{kind.__name__}.", _payload_fields(kind))
            for name, kind in events.items()
        ],
        mappings=[
            DomainToSSEMapping(kind, types(name), _payload_of(_payload_fields(kind)), _user_of)
            for name, kind in events.items()
        ],
        user_id=user_id,
    )


def _lacks_user(kind: type[Any]) -> str:
    return (
        f"{getattr(kind, '__name__', kind)} has no field {USER_FIELD!r}, which says who is told; add it, or write a "
        "bridge.Registry, whose mappings have functions for that."
    )


def _has_other_user(kind: type[Any], users: type) -> str:
    """Why the users that a class declares are none of the registry's; empty if they may be, as of type Any."""
    try:
        hint = get_type_hints(kind)[USER_FIELD]
    except Exception:  # a name that cannot be resolved
        return ""
    found = [one for one in (_plain(part) for part in (hint, *get_args(hint))) if one in ID_KINDS]
    if not found or users in found or users not in ID_KINDS:
        return ""
    return (
        f"{kind.__name__}.{USER_FIELD} is of type {found[0].__name__}, and users here are of type {users.__name__}: "
        f"say catalog_of(…, user_id={found[0].__name__}), or declare the field so."
    )


def _plain(hint: Any) -> Any:
    """The type itself, of one that has a name of its own (NewType)."""
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    return hint


def _fields_of(kind: type[Any]) -> list[str]:
    try:
        return list(inspect.signature(kind).parameters)
    except (TypeError, ValueError):  # it is no class that has fields
        return []


def _payload_fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(name for name in _fields_of(kind) if name not in OWN_FIELDS)


def _payload_of(names: tuple[str, ...]) -> Callable[[Any], dict[str, Any]]:
    def payload(event: Any) -> dict[str, Any]:
        return {name: getattr(event, name) for name in names}

    return payload


def _user_of(event: Any) -> Id | None:
    user: Id | None = event.user_id
    return user
