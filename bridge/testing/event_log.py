"""``MemoryEventLog``: the twin of both halves of the event log, with marks, one order of positions, and retention."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from bridge.model.bounds import REPLAY_BYTES_MAX
from bridge.model.event_log import Page, page_of
from bridge.model.events.sse_event import StreamedEvent, read_message
from bridge.model.position import START, Position
from bridge.model.publishing import DIRECT, AddressedEvent, Delivery, Receipt, ReceiptStatus
from bridge.model.registry import Id
from bridge.ports import PastEvent, Publication, Sighting
from bridge.testing.live_channel import MemoryChannels
from bridge.testing.state import State, Twin

PAGE = 200
"""Entries of a user, and of the broadcasts, in one page at most."""
_EVERYBODY = ""


@dataclass(slots=True)
class _Stream:
    """One addressee's events."""

    entries: deque[StreamedEvent] = field(default_factory=deque)  # what is retained, in order
    trimmed: bool = False  # whether any was dropped to stay within the bound
    expires_ms: int = 0  # when all of it is forgotten

    def after(self, position: Position) -> list[StreamedEvent]:
        return [event for event in self.entries if event.position > position]

    def reaches_back(self, after: Position, had_until_ms: int, ttl_ms: int) -> bool:
        """Whether nothing behind a position was dropped; a younger stream of that name may have followed on another."""
        first = self.entries[0].position
        if first <= after:
            return True
        return not self.trimmed and _ms(first) - ttl_ms < had_until_ms


class MemoryEventLog(Twin):
    """Satisfies ``bridge.ports.Publisher``, ``EventLog`` and ``Publications``.

    Args:
        state: shared with the other twins.
        channels: hear what is published.
    """

    QUIET = frozenset({"prepare", "set_back"})

    def __init__(self, state: State, channels: MemoryChannels) -> None:
        super().__init__(state)
        self._channels = channels
        self._streams: dict[str, _Stream] = {}
        self._position: Position | None = None
        self._began = START
        self._newest_broadcast: Position | None = None
        self._occurred_at: dict[str, datetime] = {}

    # Writing

    def prepare(self, deliveries: Sequence[Delivery]) -> "MemoryPendingPublish":
        return MemoryPendingPublish(self, deliveries)

    def publish(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Publish each event once, and account for all; returns of each whether that is news."""
        self._state.ensure_room()
        everything: list[bool] = []
        for delivery in deliveries:
            news = [self._publish(event) for event in delivery.events]
            self._account(delivery, news)
            everything += news
        return everything

    def _publish(self, addressed: AddressedEvent) -> bool:
        """Publish one event; returns whether that is news."""
        state, owner = self._state, _owner(addressed.user_id)
        mark = (owner, str(addressed.event.event_id))
        if self._marked(*mark) is not None:
            return False
        position = self._next_position()
        message = _message(addressed, position)
        if state.settings.retention:
            self._append(owner, read_message(message))
            self._occurred_at[mark[1]] = addressed.event.occurred_at
        state.marks[mark] = (str(position), state.clock.now_ms() + state.settings.seen_life_s * 1000)
        if owner == _EVERYBODY:
            self._newest_broadcast = position
        self._channels.publish(addressed.user_id, message)
        return True

    def _marked(self, owner: str, event_id: str) -> str | None:
        """The position of what was published within the window."""
        position, until_ms = self._state.marks.get((owner, event_id), ("", -1))
        return position if until_ms > self._state.clock.now_ms() else None

    def _next_position(self) -> Position:
        now_ms, last = self._state.clock.now_ms(), self._position
        if last is None:
            self._began = Position(f"{now_ms}-0")
            last = self._began
        ms, seq = map(int, str(last).split("-"))
        self._position = Position(f"{ms}-{seq + 1}" if ms >= now_ms else f"{now_ms}-0")
        return self._position

    def _append(self, owner: str, event: StreamedEvent) -> None:
        settings = self._state.settings
        stream = self._stream(owner) or _Stream()
        self._streams[owner] = stream
        stream.entries.append(event)
        while len(stream.entries) > settings.stream_maxlen:
            stream.entries.popleft()
            stream.trimmed = True
        stream.expires_ms = self._state.clock.now_ms() + settings.stream_ttl_s * 1000

    def _account(self, delivery: Delivery, news: Sequence[bool]) -> None:
        state, published = self._state, sum(news)
        state.counts["published"] += published
        if published:
            state.metrics[f"published:{delivery.event_type}"] += published
            for name, number in delivery.metrics:
                state.metrics[name] += number
        if delivery.message_id == DIRECT:
            state.counts["accepted"] += len(news)
            state.counts["duplicate"] += len(news) - published
            return
        for addressed, is_new in zip(delivery.events, news, strict=True):
            taken = self._take(delivery.message_id, str(addressed.event.event_id))
            if taken and not is_new:
                state.counts["duplicate"] += 1
            elif not taken and is_new:
                state.counts["unbooked"] += 1
        for event_id in delivery.skipped:
            if self._take(delivery.message_id, event_id):
                state.counts["skipped"] += 1
                state.skipped[event_id] = state.clock.now_ms()

    def _take(self, message_id: str, event_id: str) -> bool:
        """Take an event out of its place; returns whether it was accounted for there."""
        state = self._state
        if state.take_open(message_id, event_id):
            return True
        if state.take_retry(event_id):
            return not state.end_stray("retry", event_id)
        if state.take_letter(event_id):
            return not state.end_stray("dead", event_id)
        return False

    # Reading

    async def now(self) -> Page:
        now_ms = self._state.clock.now_ms()
        if self._position is None:
            self._begin(now_ms)
        return page_of(self._newest(), complete=True, read_at_ms=now_ms)

    async def locate(self, user_id: Id, event_id: UUID) -> Position | None:
        marks = [self._marked(owner, str(event_id)) for owner in (_owner(user_id), _EVERYBODY)]
        return next((Position(mark) for mark in marks if mark is not None), None)

    async def read(
        self, user_id: Id, after: Position, *, read_at_ms: int = 0, limit_bytes: int = REPLAY_BYTES_MAX
    ) -> Page:
        now_ms = self._state.clock.now_ms()
        if self._position is None:
            self._begin(now_ms)
        read = [self._after(owner, after, limit_bytes) for owner in (_owner(user_id), _EVERYBODY)]
        return page_of(
            self._newest(),
            [[(event.position, event) for event in events] for events, _ in read],
            [is_whole for _, is_whole in read],
            complete=self._is_complete(_owner(user_id), after, read_at_ms),
            read_at_ms=now_ms,
        )

    async def vouch(self, channel: str, message: bytes) -> bool:
        event, owner = read_message(message), self._channels.owner_of(channel)
        if self._marked(owner, event.event_id) == str(event.position):
            return True
        if self._began <= event.position:
            self._begin(max(self._state.clock.now_ms(), _ms(self._newest()) + 1))
        return False

    # Looking up

    def look_up(self, events: Sequence[tuple[Id | None, UUID]]) -> list[Sighting]:
        return [self._sighting(_owner(user_id), str(event_id)) for user_id, event_id in events]

    def _sighting(self, owner: str, event_id: str) -> Sighting:
        kept = (event.payload for event in self._kept(owner) if event.event_id == event_id)
        return Sighting(published=self._marked(owner, event_id) is not None, payload=next(kept, "").encode())

    def newest(self, user_id: Id | None, limit: int) -> Iterator[PastEvent]:
        found = list(self._kept(_owner(user_id)))[: -limit - 1 : -1]
        for event in found:
            yield PastEvent(
                event_id=event.event_id,
                event_type=event.event_type,
                occurred_at=self._occurred_at[event.event_id],
                payload=event.payload.encode(),
            )

    def find(self, event_id: UUID, user: str | None = None) -> Iterator[Publication]:
        owners = [owner for owner, marked in self._state.marks if marked == str(event_id)]
        for owner in owners:
            position = self._marked(owner, str(event_id))
            if position is not None and (user is None or owner in (user, _EVERYBODY)):
                yield Publication(
                    position=position,
                    user_id=owner or None,
                    seen_key=f"{owner}:{event_id}",
                    in_stream=any(event.event_id == str(event_id) for event in self._kept(owner)),
                )

    def published(self, event_ids: Collection[str]) -> frozenset[str]:
        return frozenset(name for owner, name in self._state.marks if name in event_ids and self._marked(owner, name))

    def _kept(self, owner: str) -> Sequence[StreamedEvent]:
        stream = self._stream(owner)
        return stream.entries if stream else ()

    def set_back(self) -> None:
        """Forget everything that was published, as a fail-over to a replica that never heard of it would."""
        self._streams.clear()
        self._state.marks.clear()
        self._position, self._began, self._newest_broadcast = None, START, None

    def _begin(self, ms: int) -> None:
        self._position = self._began = Position(f"{ms}-0")

    def _newest(self) -> Position:
        return self._position or START

    def _stream(self, owner: str) -> _Stream | None:
        stream = self._streams.get(owner)
        return stream if stream and stream.expires_ms > self._state.clock.now_ms() else None

    def _after(self, owner: str, after: Position, limit_bytes: int) -> tuple[list[StreamedEvent], bool]:
        """The next events of one stream, and whether that is all of them."""
        stream = self._stream(owner)
        following = stream.after(after) if stream else []
        taken: list[StreamedEvent] = []
        size = 0
        for event in following[:PAGE]:
            size += len(event.payload)
            if taken and size > limit_bytes:
                break
            taken.append(event)
        return taken, len(taken) == len(following)

    def _is_complete(self, owner: str, after: Position, read_at_ms: int) -> bool:
        if after in (START, self._newest()):
            return True
        if not self._began <= after <= self._newest():
            return False
        # Until then the reader has everything, whatever has expired since.
        ttl_ms = self._state.settings.stream_ttl_s * 1000
        had_until_ms = max(_ms(after), read_at_ms)
        own, broadcasts = self._stream(owner), self._stream(_EVERYBODY)
        own_is_whole = (
            own.reaches_back(after, had_until_ms, ttl_ms) if own else had_until_ms > self._state.clock.now_ms() - ttl_ms
        )
        if self._newest_broadcast is None or self._newest_broadcast <= after:
            return own_is_whole
        return own_is_whole and broadcasts is not None and broadcasts.reaches_back(after, had_until_ms, ttl_ms)


class MemoryPendingPublish:
    """Satisfies ``bridge.ports.PendingPublish``."""

    def __init__(self, log: MemoryEventLog, deliveries: Sequence[Delivery]) -> None:
        self._log = log
        self._deliveries: Sequence[Delivery] | None = deliveries
        self._news: list[bool] = []

    def begin(self) -> None:
        deliveries, self._deliveries = self._deliveries, None
        if deliveries:
            self._news = self._log.publish(deliveries)

    def unpublished(self) -> dict[int, Receipt]:
        self.begin()
        duplicate = Receipt(status=ReceiptStatus.DUPLICATE)
        return {place: duplicate for place, is_new in enumerate(self._news) if not is_new}

    def abandon(self) -> None:
        self._deliveries = None


def _owner(user_id: Id | None) -> str:
    return _EVERYBODY if user_id is None else str(user_id)


def _ms(position: Position) -> int:
    return int(str(position).partition("-")[0])


def _message(addressed: AddressedEvent, position: Position) -> bytes:
    """What the channel hears, with the fields that docs/wire-format.md promises."""
    fields = {**addressed.event.to_dict(), "data": msgspec.Raw(addressed.payload), "position": str(position)}
    return msgspec.json.encode(fields)
