"""``MemoryEventLog``: the twin of both halves of the event log, with marks, one order of positions, and retention."""

import math
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
from bridge.model.registry import EVERYONE, Address, Retention
from bridge.model.registry.addresses import heard
from bridge.ports import Destination, PastEvent, Publication, Sighting
from bridge.testing.live_channel import MemoryChannels
from bridge.testing.state import State, Twin

PAGE = 200
"""Entries of each of two addresses in one page at most; of more, twice as many in all."""
_EVERYONE = str(EVERYONE)


@dataclass(slots=True)
class _Stream:
    """What one address was told, of one class of retention."""

    entries: deque[StreamedEvent] = field(default_factory=deque)  # what is retained, in order
    trimmed: bool = False  # whether any was dropped to stay within the bound
    expires_ms: int = 0  # when all of it is forgotten

    def after(self, position: Position) -> list[StreamedEvent]:
        return [event for event in self.entries if event.position > position]

    def reaches_back(self, known: "_Class", after: Position, had_until_ms: int) -> bool:
        """Whether nothing behind a position was dropped; a younger stream of that name may have followed on another."""
        first = self.entries[0].position
        return first <= after or not (self.trimmed or known.may_have_expired(had_until_ms, _ms(first)))


@dataclass(slots=True)
class _Class:
    """What is known of a class of retention, or of what is in none."""

    life_ms: int
    newest: Position = START  # of all its events
    newest_broadcast: Position = START
    shorter_ms: int = 0  # an earlier life, or that of other workers; 0 for none
    newest_of_shorter: Position = START  # of what may have been written for it

    def note(self, life_ms: int, position: Position, now_ms: int) -> None:
        """An event was written for a life."""
        if _ms(self.newest_of_shorter) + self.life_ms < now_ms:
            self.shorter_ms = 0
        if life_ms < self.life_ms:
            self.shorter_ms, self.newest_of_shorter = min(self.shorter_ms or life_ms, life_ms), position
        elif life_ms > self.life_ms:
            self.shorter_ms, self.newest_of_shorter = min(self.shorter_ms or self.life_ms, self.life_ms), self.newest
            self.life_ms = life_ms
        self.newest = position

    def may_have_expired(self, had_until_ms: int, at_ms: int) -> bool:
        """Whether a stream of which nothing is left at a moment may have held what a reader has not had."""
        of_shorter_ms = min(_ms(self.newest_of_shorter), at_ms - self.shorter_ms) if self.shorter_ms else -1
        return had_until_ms <= max(at_ms - self.life_ms, of_shorter_ms)


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
        self._streams: dict[tuple[str, str], _Stream] = {}  # by address and class of retention
        self._classes = {"": _Class(state.settings.stream_ttl_s * 1000)}
        self._position: Position | None = None
        self._began = START
        self._occurred_at: dict[str, datetime] = {}

    # Writing

    def prepare(self, deliveries: Sequence[Delivery]) -> "MemoryPendingPublish":
        return MemoryPendingPublish(self, deliveries)

    def publish(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Publish each event once, and account for all; returns of each whether that is news."""
        self._state.ensure_room()
        everything: list[bool] = []
        for delivery in deliveries:
            news = [self._publish(event, delivery.retention) for event in delivery.events]
            self._account(delivery, news)
            everything += news
        return everything

    def _publish(self, addressed: AddressedEvent, retention: Retention | None) -> bool:
        """Publish one event; returns whether that is news."""
        state, event_id = self._state, str(addressed.event.event_id)
        if any(self._marked(str(one), event_id) is not None for one in addressed.told):
            return False
        position = self._next_position()
        message = _message(addressed, position)
        self._occurred_at[event_id] = addressed.event.occurred_at
        for owner in map(str, addressed.told):
            life_s = self._append(owner, read_message(message), retention)
            seen_life_s = state.settings.seen_life_s + max(0, life_s - state.settings.stream_ttl_s)
            state.marks[owner, event_id] = (str(position), state.clock.now_ms() + seen_life_s * 1000)
            self._channels.publish(owner, message)
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

    def _append(self, owner: str, event: StreamedEvent, retention: Retention | None) -> int:
        """Append it to a stream, if history is kept; returns the stream's life in s."""
        settings = self._state.settings
        retention = retention if settings.retention else None
        name = retention.name if retention else ""
        life_s = retention.life_s(settings.stream_ttl_s) if retention else settings.stream_ttl_s
        known = self._classes.setdefault(name, _Class(life_s * 1000))
        known.note(life_s * 1000, event.position, self._state.clock.now_ms())
        if owner == _EVERYONE:
            known.newest_broadcast = event.position
        if not settings.retention:
            return 0
        stream = self._stream(owner, name) or _Stream()
        self._streams[owner, name] = stream
        stream.entries.append(event)
        while len(stream.entries) > ((retention and retention.length) or settings.stream_maxlen):
            stream.entries.popleft()
            stream.trimmed = True
        stream.expires_ms = max(stream.expires_ms, self._state.clock.now_ms() + life_s * 1000)
        return life_s

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

    async def locate(self, addresses: Sequence[Address], event_id: UUID) -> Position | None:
        marks = [self._marked(str(one), str(event_id)) for one in heard(addresses)]
        return min((Position(mark) for mark in marks if mark is not None), default=None)

    async def read(
        self, addresses: Sequence[Address], after: Position, *, read_at_ms: int = 0, limit_bytes: int = REPLAY_BYTES_MAX
    ) -> Page:
        now_ms = self._state.clock.now_ms()
        if self._position is None:
            self._begin(now_ms)
        owners = [str(one) for one in heard(addresses)]
        streams = [stream for owner in owners for name in self._classes if (stream := self._stream(owner, name))]
        there = [stream for stream in streams if stream.after(after)]
        share = 2 / max(2, len(there))
        read = [_following(stream, after, PAGE * share, limit_bytes * share) for stream in there]
        return page_of(
            self._newest(),
            [[(event.position, event) for event in events] for events, _ in read],
            [is_whole for _, is_whole in read],
            complete=self._is_complete(owners, after, read_at_ms),
            read_at_ms=now_ms,
            limit_bytes=limit_bytes,
        )

    async def vouch(self, channel: str, message: bytes) -> bool:
        event = read_message(message)
        if self._marked(channel, event.event_id) == str(event.position):
            return True
        if self._began <= event.position:
            self._begin(max(self._state.clock.now_ms(), _ms(self._newest()) + 1))
        return False

    # Looking up

    def look_up(self, events: Sequence[tuple[Destination, UUID]]) -> list[Sighting]:
        return [self._sighting(destination, str(event_id)) for destination, event_id in events]

    def _sighting(self, destination: Destination, event_id: str) -> Sighting:
        owners = [str(one) for one in destination.addresses]
        kept = (event.payload for owner in owners for event in self._kept(owner) if event.event_id == event_id)
        published = any(self._marked(owner, event_id) is not None for owner in owners)
        return Sighting(published=published, payload=next(kept, "").encode())

    def newest(self, address: Address, limit: int, *, retention: Retention | None = None) -> Iterator[PastEvent]:
        stream = self._stream(str(address), retention.name if retention else "")
        for event in list(stream.entries if stream else ())[: -limit - 1 : -1]:
            yield PastEvent(
                event_id=event.event_id,
                event_type=event.event_type,
                occurred_at=self._occurred_at[event.event_id],
                payload=event.payload.encode(),
            )

    def find(self, event_id: UUID, address: Address | None = None) -> Iterator[Publication]:
        owners = [owner for owner, marked in self._state.marks if marked == str(event_id)]
        for owner in owners:
            position = self._marked(owner, str(event_id))
            if position is not None and (address is None or owner in (str(address), _EVERYONE)):
                yield Publication(
                    position=position,
                    address=owner,
                    seen_key=f"{owner}:{event_id}",
                    in_stream=any(event.event_id == str(event_id) for event in self._kept(owner)),
                )

    def published(self, event_ids: Collection[str]) -> frozenset[str]:
        return frozenset(name for owner, name in self._state.marks if name in event_ids and self._marked(owner, name))

    def _kept(self, owner: str) -> Sequence[StreamedEvent]:
        streams = [stream for name in self._classes if (stream := self._stream(owner, name))]
        return sorted((event for stream in streams for event in stream.entries), key=lambda event: event.position)

    def set_back(self) -> None:
        """Forget everything that was published, as a fail-over to a replica that never heard of it would."""
        self._streams.clear()
        self._state.marks.clear()
        self._classes = {"": self._classes[""]}
        self._classes[""].newest_broadcast = START
        self._position, self._began = None, START

    def _begin(self, ms: int) -> None:
        self._position = self._began = Position(f"{ms}-0")

    def _newest(self) -> Position:
        return self._position or START

    def _stream(self, owner: str, name: str) -> _Stream | None:
        stream = self._streams.get((owner, name))
        return stream if stream and stream.expires_ms > self._state.clock.now_ms() else None

    def _is_complete(self, owners: Sequence[str], after: Position, read_at_ms: int) -> bool:
        if after in (START, self._newest()):
            return True
        if not self._began <= after <= self._newest():
            return False
        # Until then the reader has everything, whatever has expired since.
        had_until_ms = max(_ms(after), read_at_ms)
        return all(self._is_whole(owner, name, after, had_until_ms) for owner in owners for name in self._classes)

    def _is_whole(self, owner: str, name: str, after: Position, had_until_ms: int) -> bool:
        known, stream = self._classes[name], self._stream(owner, name)
        if owner == _EVERYONE and known.newest_broadcast <= after:
            return True
        if name and known.newest <= after:
            return True
        if stream:
            return stream.reaches_back(known, after, had_until_ms)
        return owner != _EVERYONE and not known.may_have_expired(had_until_ms, self._state.clock.now_ms())


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


def _following(stream: _Stream, after: Position, most: float, limit_bytes: float) -> tuple[list[StreamedEvent], bool]:
    """The next events of one stream, and whether that is all of them."""
    following = stream.after(after)
    taken: list[StreamedEvent] = []
    size = 0
    for event in following[: math.ceil(most)]:
        size += len(event.payload)
        if taken and size > limit_bytes:
            break
        taken.append(event)
    return taken, len(taken) == len(following)


def _ms(position: Position) -> int:
    return int(str(position).partition("-")[0])


def _message(addressed: AddressedEvent, position: Position) -> bytes:
    """What the channel hears, with the fields that docs/wire-format.md promises."""
    fields = {**addressed.event.to_dict(), "data": msgspec.Raw(addressed.payload), "position": str(position)}
    return msgspec.json.encode(fields)
