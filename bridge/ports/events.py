"""Ports of what clients hear: the event log's two halves, and the live channels."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from bridge.model.bounds import REPLAY_BYTES_MAX
from bridge.model.event_log import Heard, Page
from bridge.model.position import Position
from bridge.model.publishing import Delivery, Receipt
from bridge.model.registry import Address, Retention
from bridge.model.registry.addresses import EVERYONE_TEXT, USER


class PendingPublish(Protocol):
    """Deliveries that are about to be published and accounted for."""

    def begin(self) -> None:
        """Ask the log, and return at once. Idempotent. End one before the next begins: two at once have no order."""

    def unpublished(self) -> dict[int, Receipt]:
        """Begin, if it has not begun, and wait for the end; tells of what was not published now.

        Returns:
            Place of the event among all of the deliveries → a duplicate's receipt, or a refusal's for good.
        """

    def abandon(self) -> None:
        """Wait for nothing: what was asked for may happen or not. After ``unpublished`` it does nothing."""


class Publisher(Protocol):
    """The writing half of the event log: publishes each event once, and accounts for it in the same step."""

    def prepare(self, deliveries: Sequence[Delivery]) -> PendingPublish:
        """Make ready to publish, in order; nothing is asked of the log before ``begin``.

        Idempotent by event id and address within the deduplication window (``Settings.seen_life_s``): a second call
        publishes nothing, and completes what the first left half done. Positions rise from event to event, whoever
        publishes to whomever.

        An event for several addresses is published to all of them at one position, or, where one of them refuses it, to
        none. If any of them was told of it before, it is a duplicate, and none is told anew.
        """


class EventLog(Protocol):
    """The reading half of the event log: what each address was told, retained within bounds.

    A client hears several addresses (its user's, topics) and always everyone's, which need not be among those that are
    given; of one that is given twice it hears once. There are fewer than HEARD_MAX of them, or ValueError is raised.
    """

    async def now(self) -> Page:
        """An empty page up to the newest position handed out; in an empty log, up to a first one."""

    async def locate(self, addresses: Sequence[Address], event_id: UUID) -> Position | None:
        """Where an event stands that one of the addresses was told; None if it is unknown, or older than the window.

        An event has one position, however many addresses it was told. One that was published to several apart has
        several: then it is the first.
        """

    async def read(
        self, addresses: Sequence[Address], after: Position, *, read_at_ms: int = 0, limit_bytes: int = REPLAY_BYTES_MAX
    ) -> Page:
        """The next page after a position, of one moment: nothing before its horizon is missing from it.

        Events of all addresses are in one order, and one that was told to several of them is there once. The page is
        complete only if nothing can be missing of any address, nor of any class of retention that it has.

        Args:
            addresses: whose events are read, besides everyone's.
            after: what the client has had.
            read_at_ms: ``Page.read_at_ms`` of the last page that reached the newest event; 0 if there was none. Without
                it a client that heard nothing for as long as events are retained counts as behind.
            limit_bytes: bytes of each of two streams at most, and twice as many of all where there are more; though
                at least one event.
        """

    async def vouch(self, channel: str, message: bytes) -> bool:
        """Whether the log still knows an event that was heard on a channel within half the window.

        If not, it was set back, and the order begins anew: reading from an earlier position is incomplete from now on.
        """


class Channels(Protocol):
    """Names of the channels on which events are heard as they are published."""

    @property
    def BROADCAST_CHANNEL(self) -> str:  # noqa: N802  (a constant of each deployment)
        """Everybody's."""

    def channel(self, address: Address) -> str:
        """That of an address."""


class LiveChannel(Protocol):
    """One connection that hears what is published as it is published; it never mends itself.

    From ``open`` to the first trouble; made anew after it. What is published in between is not heard, so each loss must
    be told to whoever listens.
    """

    async def open(self) -> None:
        """Connect; nothing is subscribed yet."""

    async def send(self, verb: str, *channels: str) -> None:
        """SUBSCRIBE to channels, or UNSUBSCRIBE; or PING, which is answered by anything else than a message."""

    async def hear(self, timeout_s: float) -> Heard | None:
        """What came next; None if nothing came in time.

        Each SUBSCRIBE is confirmed channel by channel, in order; what is published there later is heard once, in order.
        """

    async def close(self) -> None:
        """Drop the connection. Idempotent, and never raises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """What the log would say to an event that is published now."""

    published: bool = False  # whether it was, within the deduplication window
    payload: bytes = b""  # what clients were told then; empty if that is no longer retained
    refusal: str = ""  # why the log would refuse it; empty if it would not


@dataclass(frozen=True, kw_only=True, slots=True)
class PastEvent:
    """An event in a stream."""

    event_id: str
    event_type: str
    occurred_at: datetime
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """An event stands, or stood, in a stream."""

    position: str  # its place in the order of all events
    address: str  # the address that was told, as text
    seen_key: str  # the key that remembers it
    in_stream: bool  # whether a client that reconnects can still get it

    @property
    def user_id(self) -> str | None:
        """The user's id, where the address is a user's."""
        kind, _, user_id = self.address.partition(":")
        return user_id if kind == USER else None

    @property
    def is_broadcast(self) -> bool:
        """Whether everyone was told."""
        return self.address == EVERYONE_TEXT

    @property
    def at_ms(self) -> int:
        """When, in ms of Redis time."""
        return int(self.position.partition("-")[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where an event goes: its addresses, and the class of retention of its type."""

    addresses: tuple[Address, ...]
    retention: Retention | None = None


class Publications(Protocol):
    """What clients were told, looked up event by event; for operators."""

    def look_up(self, events: Sequence[tuple[Destination, UUID]]) -> list[Sighting]:
        """For each event: whether any of its addresses was told of it, and whether all could be."""

    def newest(self, address: Address, limit: int, *, retention: Retention | None = None) -> Iterator[PastEvent]:
        """Up to so many retained events that an address was told, of one class of retention, newest first."""

    def find(self, event_id: UUID, address: Address | None = None) -> Iterator[Publication]:
        """Where an event was published.

        Args:
            event_id: id of the event.
            address: large stores answer at once then, and only whether it or everyone was told; otherwise all are
                looked through.
        """

    def published(self, event_ids: Collection[str]) -> frozenset[str]:
        """Which of the events were published within the deduplication window; looks through all."""
