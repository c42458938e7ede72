"""A catalog whose events go to topics: users are numbers, and alarms are kept apart from chatter."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from uuid6 import uuid7

from bridge import EVERYONE, DomainToSSEMapping, Registry, Retention, SSEEventMetadata, Topic, User
from bridge.model.registry.addresses import Address

room = Topic("room", int)
team = Topic("team")


class Category(StrEnum):
    TALK = "talk"
    ALARMS = "alarms"


class Type(StrEnum):
    SAID = "room.said"
    ALARMED = "team.alarmed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    room: int
    by: int | None = None
    mentioned: tuple[int, ...] = ()
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarmed:
    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    team: Any
    number: int = 0


def heard_by(event: Said) -> list[Address]:
    return [room(event.room), *map(User, event.mentioned)] if event.room >= 0 else []


def _number(event: Said | Alarmed) -> dict[str, Any]:
    return {"number": event.number}


registry = Registry(
    event_types=Type,
    categories=Category,
    events=[
        SSEEventMetadata(Type.SAID, Category.TALK, "Somebody said something", ("number",)),
        SSEEventMetadata(Type.ALARMED, Category.ALARMS, "Something is wrong", ("number",)),
    ],
    mappings=[
        DomainToSSEMapping(Said, Type.SAID, _number, lambda event: event.by, audience=heard_by),
        DomainToSSEMapping(
            Alarmed, Type.ALARMED, _number, audience=lambda event: team(event.team) if event.team else EVERYONE
        ),
    ],
    user_id=int,
    topics=(room, team),
    retention={Category.ALARMS: Retention("alarms", length=100, seconds=86_400)},
)
