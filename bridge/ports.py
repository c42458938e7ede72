"""What the core needs from outside, as protocols: the real adapters and ``bridge.testing``'s twins satisfy them.

Every method that does I/O raises StoreUnavailableError where the store is away or full, and StoreRefusedError where it
refuses for good (BrokerError where it is the broker). What it was asked to do may have happened all the same. So each
method that writes says what a second call changes. Event ids are UUIDs as text in their usual form.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from bridge.messages.task_message import TaskMessage
from bridge.model.accounting import OpenMessage
from bridge.model.bounds import REPLAY_BYTES_MAX
from bridge.model.dead_letter import LOOK_MAX, Cursor, DeadLetter, Glance, LetterHead, Tombstone
from bridge.model.event_log import Heard, Page, Position
from bridge.model.log_entry import LogEntry
from bridge.model.publishing import Delivery
from bridge.model.registry import Id
from bridge.model.retry import Attempt, Claim, RetryRecord


class Clock(Protocol):
    """What time it is for everybody, so that a machine whose own clock is wrong writes no wrong time down."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        ...

    def now(self) -> datetime:
        """The same as a UTC time."""
        ...


class Queue(Protocol):
    """The way to the broker's queues. Messages of one queue keep their order. Not thread-safe."""

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """Put messages on their queues, in order, account for them, and wait until the broker has them.

        At-least-once: sent again, a message may be on its queue twice, and is accounted for once.

        Raises:
            BrokerError: not all of them were confirmed; some may have been taken: send all again.
        """
        ...

    def insist_on_room(self) -> None:
        """Ask before messages are taken from elsewhere to be sent; free unless the broker refused the last ones.

        Raises:
            BrokerUnavailableError: the broker is known to take none.
        """
        ...

    def prepare(self) -> None:
        """Import all that sending and its troubles need, on the caller's thread; connects to nothing."""
        ...

    def close(self) -> None:
        """Drop the connection; ``send`` opens another. Idempotent, and never raises on a dead connection."""
        ...


class PendingPublish(Protocol):
    """Deliveries that are about to be published and accounted for."""

    def begin(self) -> None:
        """Ask the log, and return at once. Idempotent. End one before the next begins: two at once have no order."""
        ...

    def refused(self) -> dict[int, str]:
        """Begin, if it has not begun, and wait for the end; tells of what the log refused for good.

        Returns:
            Place of the event among all of the deliveries → the log's words.
        """
        ...

    def abandon(self) -> None:
        """Wait for nothing: what was asked for may happen or not. After ``refused`` it does nothing."""
        ...


class Publisher(Protocol):
    """The writing half of the event log: publishes each event once, and accounts for it in the same step."""

    def prepare(self, deliveries: Sequence[Delivery]) -> PendingPublish:
        """Make ready to publish, in order; nothing is asked of the log before ``begin``.

        Idempotent by event id and user within the deduplication window (``Settings.seen_life_s``): a second call
        publishes nothing, and completes what the first left half done. Positions rise from event to event, whoever
        publishes to whomever.
        """
        ...


class EventLog(Protocol):
    """The reading half of the event log: each user's events and the broadcasts, retained within bounds."""

    async def now(self) -> Page:
        """An empty page up to the newest position handed out; in an empty log, up to a first one."""
        ...

    async def locate(self, user_id: Id, event_id: UUID) -> Position | None:
        """Where an event stands that this user received; None if it is unknown, or older than the window."""
        ...

    async def read(
        self, user_id: Id, after: Position, *, read_at_ms: int = 0, limit_bytes: int = REPLAY_BYTES_MAX
    ) -> Page:
        """The next page after a position, of one moment: nothing before its horizon is missing from it.

        Args:
            user_id: id of the user whose events are read, besides the broadcasts.
            after: what the client has had.
            read_at_ms: ``Page.read_at_ms`` of the last page that reached the newest event; 0 if there was none. Without
                it a client that heard nothing for as long as events are retained counts as behind.
            limit_bytes: bytes of the user's events, and of the broadcasts, at most; though at least one of each.
        """
        ...

    async def vouch(self, channel: str, message: bytes) -> bool:
        """Whether the log still knows an event that was heard on a channel within half the window.

        If not, it was set back, and the order begins anew: reading from an earlier position is incomplete from now on.
        """
        ...


class LiveChannel(Protocol):
    """One connection that hears what is published as it is published; it never mends itself.

    From ``open`` to the first trouble; made anew after it. What is published in between is not heard, so each loss must
    be told to whoever listens.
    """

    async def open(self) -> None:
        """Connect; nothing is subscribed yet."""
        ...

    async def send(self, verb: str, *channels: str) -> None:
        """SUBSCRIBE to channels, or UNSUBSCRIBE; or PING, which is answered by anything else than a message."""
        ...

    async def hear(self, timeout_s: float) -> Heard | None:
        """What came next; None if nothing came in time.

        Each SUBSCRIBE is confirmed channel by channel, in order; what is published there later is heard once, in order.
        """
        ...

    async def close(self) -> None:
        """Drop the connection. Idempotent, and never raises."""
        ...


class Accounting(Protocol):
    """Which accepted events are on their way, message by message. Each leaves in the step that ends it."""

    def book(self, message_id: str, task: str, queue: str, event_ids: Sequence[UUID]) -> None:
        """Enter a message that its producer did not announce. Idempotent by message id."""
        ...

    def unfinished(self, message_id: str, event_ids: Collection[str]) -> frozenset[str]:
        """Which of a message's events are on their way: neither ended, nor waiting, nor dead."""
        ...

    def get(self, message_ids: Sequence[str]) -> list[OpenMessage]:
        """The messages of which something is in flight."""
        ...

    def holding(self, event_id: UUID) -> list[OpenMessage]:
        """The messages on their way that hold an event; looks through all of them."""
        ...


class StartCounts(Protocol):
    """How often messages were started whose workers died; a message that never came back costs nothing."""

    def add(self, message_id: str) -> int:
        """Count one start; returns how many there were. Not idempotent."""
        ...

    def take_back(self, message_id: str) -> None:
        """Count one start less: its worker did not die. Not idempotent."""
        ...

    def forget(self, message_id: str) -> None:
        """The message is done. Idempotent."""
        ...


class Metrics(Protocol):
    """Numbers that grow, by name."""

    def add(self, grown: Sequence[tuple[str, int]]) -> None:
        """Let numbers grow, each by so much. Not idempotent."""
        ...


class RetryQueue(Protocol):
    """Events that wait for their next attempt, each until it is published, skipped or dead-lettered."""

    def add(
        self,
        waiting: Sequence[tuple[RetryRecord, float]],
        *,
        message_id: str = "",
        event_type: str = "",
        only_unfinished: bool = False,
    ) -> frozenset[str]:
        """Let events wait for the given seconds. Idempotent by event id and attempt.

        Args:
            waiting: events and their waits.
            message_id: that brought them; empty if they were waiting already.
            event_type: type of the events, for the metrics.
            only_unfinished: leave alone what has ended meanwhile.

        Returns:
            The ids that found no room (``Settings.retry_max``); they do not wait.
        """
        ...

    def claim(self) -> Claim:
        """Take what is due, oldest first, for a lease: until it ends, no other worker gets the same."""
        ...

    def confirm(self, claim: Claim) -> None:
        """Say that the claimed retries are back on their queue. Idempotent.

        They stay until they are settled, and are due again much later, in case the broker loses the message. One that
        has failed again meanwhile keeps its own time.
        """
        ...

    def history(self, event_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """The failed attempts so far of those events that wait."""
        ...

    def unfinished(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Which of the events wait, or are being tried again."""
        ...

    def count(self) -> int:
        """How many events wait, or are being tried again."""
        ...


class DeadLetters(Protocol):
    """What did not succeed by itself, kept for a person within bounds; in the order of burial."""

    def bury(
        self,
        letters: Sequence[DeadLetter],
        *,
        message_id: str = "",
        whole: bool = False,
        part: Sequence[str] | None = None,
        event_type: str = "",
        only_unfinished: bool = False,
    ) -> int:
        """Keep letters and end the retries of their events. Idempotent by letter id.

        Args:
            letters: to keep.
            message_id: that brought them; empty if they came from elsewhere.
            whole: there is one letter, and it holds the whole message.
            part: with ``whole``: the message was taken apart, and the letter holds these events of it only.
            event_type: type of the events, for the metrics; empty if unknown.
            only_unfinished: leave alone what has ended meanwhile.

        Returns:
            How many of the oldest letters were evicted to stay within the bounds; that is logged.
        """
        ...

    def get_many(self, letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        """The dead letters that exist and that this release can decode."""
        ...

    def history(self, letter_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """The failed attempts of the letters that exist."""
        ...

    def heads(
        self, *, newest_first: bool = False, between_ms: tuple[int, int], conditions: Sequence[Sequence[str]] = ()
    ) -> Iterator[LetterHead]:
        """What a search looks at, of all letters; one that is dead-lettered again meanwhile may be missed.

        Args:
            newest_first: the order of burial.
            between_ms: earliest and latest burial, in ms of the store's time.
            conditions: each is a choice of texts, one of which must occur in the head's JSON.
        """
        ...

    def look(
        self,
        *,
        cursor: Cursor | None = None,
        newest_first: bool = True,
        between_ms: tuple[int, int],
        conditions: Sequence[Sequence[str]] = (),
        take: int = LOOK_MAX,
    ) -> Glance:
        """Look at up to LOOK_MAX letters behind a cursor, which stays valid while letters come and go.

        Args:
            cursor: of the look before; None to begin.
            newest_first: the order of burial.
            between_ms: as for ``heads``.
            conditions: as for ``heads``.
            take: letters to return at most.
        """
        ...

    def span_ms(self) -> tuple[int, int]:
        """When the first and the last letter were buried, in ms of the store's time; 0 and 0 if there is none."""
        ...

    def discard(self, tombstones: Sequence[Tombstone], *, redrive: str = "") -> tuple[int, int]:
        """Give up letters for good; idempotent.

        Args:
            tombstones: what is to be left of each letter.
            redrive: which gives them up; empty if a person does.

        Returns:
            How many are gone now, and how many were left alone because another redrive has sent them.
        """
        ...

    def count(self) -> int:
        """How many letters there are."""
        ...


class OperationsLog(Protocol):
    """Who did what to which letters and retries, when and why; bounded, and the newest are kept."""

    def append(self, entry: LogEntry) -> None:
        """Write one entry, at the time of the store. Not idempotent."""
        ...

    def newest(self, limit: int = 100) -> list[LogEntry]:
        """The newest entries, newest first."""
        ...


class LetterStore(Protocol):
    """Where dead letters are, and where it is written down what is done to them."""

    @property
    def dead_letters(self) -> DeadLetters:
        """The letters."""
        ...

    @property
    def log(self) -> OperationsLog:
        """The log."""
        ...


class ConsumerReport(Protocol):
    """What a worker says of itself, as far as others go by it."""

    @property
    def catalog(self) -> str:
        """Identity of its registry."""
        ...

    @property
    def queues(self) -> tuple[str, ...]:
        """Which it consumes."""
        ...


class Consumer(Protocol):
    """A worker that was heard."""

    @property
    def process(self) -> str:
        """Its name."""
        ...

    @property
    def heard_ms(self) -> int:
        """When it was heard last, in ms of the store's time."""
        ...

    @property
    def report(self) -> ConsumerReport:
        """What it said."""
        ...


class WorkerReports(Protocol):
    """What workers say of themselves."""

    def known(self) -> Sequence[Consumer]:
        """Every worker that has not said good-bye."""
        ...


class Channels(Protocol):
    """Names of the channels on which events are heard as they are published."""

    @property
    def BROADCAST_CHANNEL(self) -> str:  # noqa: N802  (a constant of each deployment)
        """Everybody's."""
        ...

    def user_channel(self, user_id: Id) -> str:
        """One user's."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerPorts:
    """What a worker needs to handle messages; nothing of it connects before its first use.

    Attributes:
        open_queue: opens a connection to the broker of the caller's own, to be closed by the caller.
    """

    publisher: Publisher
    accounting: Accounting
    retries: RetryQueue
    dead_letters: DeadLetters
    starts: StartCounts
    metrics: Metrics
    clock: Clock
    open_queue: Callable[[], Queue]
