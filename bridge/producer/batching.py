"""Grouping accepted events into Celery messages in which each user's events keep their order; pure."""

from collections.abc import Callable, Iterable
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeAlias, cast
from uuid import UUID

import msgspec
import uuid6

from bridge.messages import OVERHEAD_BYTES, TaskMessage
from bridge.model.pipeline import EventCodec, Snapshot
from bridge.model.registry import Audience, DomainToSSEMapping, IdType
from bridge.model.registry.identifiers import UUIDS

User: TypeAlias = str | int
"""What tells one user from another; of a UUID its number, which is compared in a tenth of the time."""


class Accepted(msgspec.Struct, frozen=True):
    """An accepted event: where it goes, its envelope, and whose it is; None if that is not known."""

    task: str
    queue: str
    event_id: UUID
    envelope: bytes
    user: User | None = None


class Route(msgspec.Struct, frozen=True):
    """Where the events of one class go, and how they are written."""

    codec: EventCodec
    task: str
    queue: str
    source: str
    data_max: int  # bytes that an event may surely have, whatever its envelope adds
    # Takes the snapshot of an event that may be written later; see ``snapshot_taker``
    snapshot_of: Callable[[Any], Snapshot | None]
    user_of: Callable[[Any], object]


class Written(msgspec.Struct, frozen=True, gc=False, eq=False):
    """An event in the buffer: written, but not in its envelope yet, which is left to the thread that sends.

    A Struct, because one is made for every event.
    """

    route: Route
    event_id: UUID
    occurred_at: datetime
    data: bytes
    user: object
    traceparent: str = ""

    def accepted(self) -> Accepted:
        """The event in its envelope."""
        route = self.route
        envelope = route.codec.wrap(
            msgspec.Raw(self.data), self.event_id, self.occurred_at, source=route.source, traceparent=self.traceparent
        )
        return Accepted(route.task, route.queue, self.event_id, envelope, known(self.user))


class Unwritten(msgspec.Struct, frozen=True, gc=False, eq=False):
    """An event in the buffer of which even the writing is left to the thread that sends."""

    route: Route
    snapshot: Snapshot
    user: object

    def accepted(self) -> Accepted:
        """The event in its envelope."""
        route, snapshot = self.route, self.snapshot
        envelope = route.codec.wrap(snapshot, snapshot.event_id, snapshot.occurred_at, source=route.source)
        return Accepted(route.task, route.queue, snapshot.event_id, envelope, known(self.user))


Entry: TypeAlias = Written | Unwritten
"""What the buffer holds for one event."""


class BatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one message: events, and bytes of its body."""

    events: int
    size_bytes: int


def batch(accepted: Iterable[Accepted], limits: BatchLimits) -> list[TaskMessage]:
    """Pack events into messages of one task each, within the limits.

    Messages stand in the order of their first event. In a queue's messages, read one after the other, the events of
    each user keep their order, and an event whose user is not known keeps its place among all.
    """
    drafts: list[_Draft] = []
    open_drafts: dict[tuple[str, str], _Draft] = {}
    lanes: dict[str, _Lane] = {}
    for event in accepted:
        lane = lanes.get(event.queue)
        if lane is None:
            lane = lanes[event.queue] = _Lane()
        to = (event.task, event.queue)
        draft = open_drafts.get(to)
        if draft is None or draft.place < lane.earliest(event.user) or not draft.takes(event, limits):
            draft = open_drafts[to] = _Draft(place=len(drafts), task=event.task, queue=event.queue)
            drafts.append(draft)
        draft.add(event)
        lane.note(event.user, draft.place)
    return [draft.message() for draft in drafts]


class _Lane:
    """Where the events of one queue stand so far: places of messages."""

    __slots__ = ("_floor", "_newest", "_of_user")

    def __init__(self) -> None:
        self._of_user: dict[User, int] = {}
        self._newest = 0
        self._floor = 0

    def earliest(self, user: User | None) -> int:
        """The first message that may take the next event of that user."""
        return self._newest if user is None else max(self._floor, self._of_user.get(user, 0))

    def note(self, user: User | None, place: int) -> None:
        """An event of that user stands there."""
        self._newest = max(self._newest, place)
        if user is None:
            self._floor = place
        else:
            self._of_user[user] = place


class _Draft:
    """A message that is being filled."""

    __slots__ = ("_events", "_queue", "_size_bytes", "_task", "place")

    def __init__(self, *, place: int, task: str, queue: str) -> None:
        self.place = place
        self._task = task
        self._queue = queue
        self._events: list[Accepted] = []
        self._size_bytes = OVERHEAD_BYTES

    def takes(self, event: Accepted, limits: BatchLimits) -> bool:
        """Whether the message has room for one more event; the first is added unasked, whatever its size."""
        return len(self._events) < limits.events and self._size_bytes + len(event.envelope) <= limits.size_bytes

    def add(self, event: Accepted) -> None:
        """Take an event in."""
        self._events.append(event)
        self._size_bytes += len(event.envelope) + 1

    def message(self) -> TaskMessage:
        """What is sent."""
        return TaskMessage(
            task=self._task,
            queue=self._queue,
            envelopes=[event.envelope for event in self._events],
            event_ids=b"".join([event.event_id.bytes for event in self._events]),
        )


def user_reader(mapping: DomainToSSEMapping, users: IdType = UUIDS) -> Callable[[Any], object]:
    """What reads the user from an event on the caller's thread: one attribute, and none of anybody's code.

    Returns:
        A reader of the attribute that the mapping's extractor returns as it is. Where it does anything else, and where
        an event is for everybody or for addresses that a function returns, a reader of nothing: such an event keeps its
        place among all others. Numbers and texts are checked, and IdError raised; for UUIDs the type of the event's
        field does that.
    """
    name = mapping.user_field
    if name is None or mapping.audience is Audience.BROADCAST:
        return lambda _: None
    read = attrgetter(name)
    is_its_user = mapping.audience is Audience.USER
    if users.plain is not None:
        return read if is_its_user else lambda _: None
    return lambda event: _checked(read(event), users) if is_its_user else _only_checked(read(event), users)


def known(user: object) -> User | None:
    """A user as it was read, if it can be compared without running anybody's code."""
    kind = type(user)
    if kind is UUID or kind is uuid6.UUID:
        return cast("UUID", user).int
    return cast("User", user) if kind is str or kind is int else None


def _checked(user: object, users: IdType) -> object:
    return None if user is None else users.checked(user)


def _only_checked(user: object, users: IdType) -> None:
    _checked(user, users)
