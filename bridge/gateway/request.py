"""What a client asks for, read from its request: a StreamRequest or a refusal. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from uuid import UUID

from bridge.gateway.refusal import RequestRefusedError
from bridge.registry import Registry
from bridge.store import START, Position

ECHO_MAX = 5
"""Unknown names that a refusal repeats at most."""
ECHO_LENGTH_MAX = 100
"""Characters of each."""
POSITION_LIMIT = Position(f"{2**64 - 1}-{2**64 - 1}")
"""Redis reads nothing after this."""


class Query(Protocol):
    """Query parameters, of which each may come more than once."""

    def getlist(self, key: str) -> list[str]:
        """Every value of a parameter."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamRequest:
    """What a client asks for.

    Attributes:
        categories: wire names of the categories wanted; None for all, and for types nobody knows yet.
        resumes: whether the client had a stream before and says where it stopped.
        last_event_id: where it stopped; None when it resumes but its id is no event's.
        after: where it stopped, when it has been given a position and no event since.
    """

    categories: frozenset[str] | None = None
    resumes: bool = False
    last_event_id: UUID | None = None
    after: Position | None = None

    def wants(self, category: str | None) -> bool:
        """Whether events of a category are asked for; None is the category of a type nobody knows."""
        return self.categories is None or category in self.categories


def parse_request(query: Query, headers: Mapping[str, str], registry: Registry) -> StreamRequest:
    """Read ``categories``, ``last_event_id`` and the ``Last-Event-ID`` header.

    Raises:
        RequestRefusedError: 422, a category is unknown.
    """
    # The header wins: a browser's own reconnect sends it, and repeats the query of the first connect.
    given = headers.get("Last-Event-ID", "").strip() or _last(query.getlist("last_event_id"))
    return StreamRequest(
        categories=_categories(query.getlist("categories"), registry),
        resumes=bool(given),
        last_event_id=parse_uuid(given),
        after=_position(given),
    )


def parse_uuid(value: object) -> UUID | None:
    """A UUID written in text; None if it is none."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _position(value: str) -> Position | None:
    try:
        position = Position(value)
    except ValueError:
        return None
    return position if START <= position < POSITION_LIMIT else None


def _categories(values: Iterable[str], registry: Registry) -> frozenset[str] | None:
    asked = {name.strip() for value in values for name in value.split(",")} - {""}
    known = [category.value for category in registry.categories]
    unknown = sorted(asked.difference(known))
    if unknown:
        shown = [name[:ECHO_LENGTH_MAX] for name in unknown[:ECHO_MAX]]
        raise RequestRefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"No such category: {', '.join(shown)}. The categories are {', '.join(known)}.",
            members={"unknown": shown, "known": known},
        )
    return frozenset(asked) or None


def _last(values: list[str]) -> str:
    return values[-1].strip() if values else ""
