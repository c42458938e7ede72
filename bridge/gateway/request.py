"""What a client asks for, read from its request: a StreamRequest or a refusal. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol
from uuid import UUID

from bridge.gateway.encoded_events import EncodedEvent
from bridge.gateway.filters import FILTERS, Wanted, wanted
from bridge.gateway.refusal import RequestRefusedError
from bridge.model.bounds import PARAM_CHARS_MAX
from bridge.model.event_log import START, Position
from bridge.model.registry import Registry

RESUME_HEADER = "Last-Event-ID"
LAST_EVENT_ID = "last_event_id"
RESUMES = frozenset({"lasteventid", "evslasteventid"})
"""Query parameters that say where a client stopped, without case, hyphens and underscores: clients that cannot send the
header write ``lastEventId``, ``Last-Event-ID`` or ``last_event_id``, and each takes its own for granted."""
OTHER_PLACES = frozenset({"after", "cursor", "since"})
"""What people write when they mean where they stopped: ignored, they would miss what came since."""
NEAR = 0.7
"""Likeness (0 to 1) from which a parameter counts as one of ours, mistyped."""
NAMES_KEPT = 256
"""Names of parameters of which it is remembered what was meant."""
POSITION_LIMIT = Position(f"{2**64 - 1}-{2**64 - 1}")
"""Redis reads nothing after this."""


class Query(Protocol):
    """Query parameters, of which each may come more than once."""

    def getlist(self, key: str) -> list[str]:
        """Every value of a parameter."""
        ...

    def multi_items(self) -> list[tuple[str, str]]:
        """Every parameter and value, in order."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamRequest:
    """What a client asks for."""

    wanted: Wanted = ()
    resumes: bool = False  # whether the client had a stream before and says where it stopped
    last_event_id: UUID | None = None  # where it stopped; None when it resumes but its id is no event's
    after: Position | None = None  # where it stopped, when it has been given a position and no event since

    def wants(self, event: EncodedEvent) -> bool:
        """Whether an event is asked for: its values are among those that each filter is to let through."""
        for place, values in self.wanted:  # noqa: SIM110  (asked of each event for each client)
            if event.values[place] not in values:
                return False
        return True


def parse_request(query: Query, headers: Mapping[str, str], registry: Registry) -> StreamRequest:
    """Read the filters, where the client stopped (header or query), and nothing else; caches' and tokens' pass by.

    Raises:
        RequestRefusedError: 422, a filter has no such value, or a parameter is near to one of ours.
    """
    parameters = query.multi_items()
    for name in {name for name, _ in parameters}:
        _refuse_near(name)
    # The header wins: a browser's own reconnect sends it, and repeats the query of the first connect.
    given = headers.get(RESUME_HEADER, "").strip() or _stopped_at(parameters)
    return StreamRequest(
        wanted=wanted(query.getlist, registry),
        resumes=bool(given),
        last_event_id=parse_uuid(given),
        after=_position(given),
    )


def parse_uuid(value: object) -> UUID | None:
    """A UUID written in text; None if it is not one."""
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


def _stopped_at(parameters: Iterable[tuple[str, str]]) -> str:
    """The last that says so: who appends one to an address that has one means the newer."""
    given = [value.strip() for name, value in parameters if len(name) <= PARAM_CHARS_MAX and _plain(name) in RESUMES]
    return next((value for value in reversed(given) if value), "")


def _refuse_near(name: str) -> None:
    """Refuse a parameter that was meant to be one of ours: ignored, it would change what the client gets."""
    if len(name) > PARAM_CHARS_MAX:
        return
    if meant := _meant(name):
        raise RequestRefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"There is no parameter {name!r}; did you mean {meant!r}?",
            members={"unknown": [name], "known": [*(one.name for one in FILTERS), LAST_EVENT_ID]},
        )


@lru_cache(NAMES_KEPT)
def _meant(name: str) -> str:
    """Which of ours a parameter was meant to be; empty for one of ours, and for none. The same few come again."""
    plain = _plain(name)
    if plain in RESUMES or any(name == one.name for one in FILTERS):
        return ""
    meant = (one.name for one in FILTERS if plain in one.meant_by or _is_near(plain, _plain(one.name)))
    return next(meant, LAST_EVENT_ID if plain in OTHER_PLACES or _is_near(plain, "lasteventid") else "")


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _is_near(plain: str, ours: str) -> bool:
    return SequenceMatcher(None, plain, ours).ratio() >= NEAR
