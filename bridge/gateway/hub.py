"""The one pub/sub connection of a process: what is subscribed for which sessions, and who is handed what it hears.

When it breaks, every session is told before a new one is made.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeAlias

from bridge.gateway.request import EncodedEvent
from bridge.model.counting import Counters
from bridge.model.errors import StoreError
from bridge.model.event_log import Heard
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Address, Id, RetryPolicy, User
from bridge.ports import Channels, LiveChannel
from bridge.runtime.supervision import end_tasks

COMMAND_CHANNELS_MAX = 500
"""Channels in one (un)subscribe command at most."""


class Member(Protocol):
    """Somebody who listens."""

    def offer(self, event: EncodedEvent) -> bool:
        """Take an event; returns whether the member would like to be given time to work.

        One that hears several addresses of an event is offered the same object again, right after.
        """
        ...

    def lose_touch(self) -> None:
        """Learn that from now on events may be missed, until the subscription is confirmed again."""
        ...


class Control(Protocol):
    """What is said to every gateway, beside what is published."""

    @property
    def channel(self) -> str:
        """Where it is heard."""
        ...

    async def load(self) -> None:
        """Learn what was said before it was heard."""
        ...

    def hear(self, message: bytes) -> None:
        """Act on it."""
        ...


class Subscription:
    """The members of one channel.

    ``confirmed`` is set while Redis is known to send us what is published there.
    """

    __slots__ = ("channel", "confirmed", "members")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.members: set[Member] = set()
        self.confirmed = asyncio.Event()


Hearing: TypeAlias = tuple[Subscription, ...]
"""What one member hears; everyone's is the last."""


class Subscriptions:
    """One subscription an address, while a client hears it; and everyone's, which holds every client."""

    def __init__(self, keys: Channels) -> None:
        self._keys = keys
        self.broadcast = Subscription(keys.BROADCAST_CHANNEL)
        self.has_commands = asyncio.Event()
        self._subscriptions: dict[str, Subscription] = {}
        self._commands: deque[tuple[str, str]] = deque()
        self._unconfirmed: Counter[str] = Counter()
        self._linked = False

    @property
    def channels(self) -> tuple[str, ...]:
        """Every channel that should be subscribed."""
        return (*self._subscriptions, self.broadcast.channel)

    def join(self, addresses: Iterable[Address], member: Member) -> Hearing:
        """Add a member that hears these, and what is for everyone; see ``wait_until_heard``."""
        hearing = (*(self._of(self._keys.channel(address)) for address in addresses), self.broadcast)
        for subscription in hearing:
            subscription.members.add(member)
        return hearing

    def _of(self, channel: str) -> Subscription:
        subscription = self._subscriptions.get(channel)
        if subscription is None:
            subscription = self._subscriptions[channel] = Subscription(channel)
            self._subscribe(channel)
        return subscription

    def listeners(self, user_id: Id) -> int:
        """How many listen to a user."""
        subscription = self._subscriptions.get(self._keys.channel(User(user_id)))
        return len(subscription.members) if subscription else 0

    def leave(self, hearing: Hearing, member: Member) -> None:
        """Remove a member; the last one of an address ends its subscription. Idempotent."""
        for subscription in hearing:
            subscription.members.discard(member)
            if not subscription.members and self._subscriptions.get(subscription.channel) is subscription:
                del self._subscriptions[subscription.channel]
                self._command("UNSUBSCRIBE", subscription.channel)

    def hears(self, hearing: Hearing) -> bool:
        """Whether everything that is published for a member reaches us."""
        return all(subscription.confirmed.is_set() for subscription in hearing)

    async def wait_until_heard(self, hearing: Hearing) -> None:
        """Wait until ``hears`` has become true; ask it again, as it may have changed since."""
        while not self.hears(hearing):
            for subscription in hearing:
                await subscription.confirmed.wait()

    def members_of(self, channel: str) -> tuple[Member, ...]:
        """Who listens to a channel."""
        subscription = self.broadcast if channel == self.broadcast.channel else self._subscriptions.get(channel)
        return tuple(subscription.members) if subscription else ()

    # The connection's side

    def link(self) -> None:
        """A new connection, which has no subscriptions yet."""
        self._linked = True
        for channel in self.channels:
            self._subscribe(channel)

    def unlink(self) -> None:
        """The connection is gone: no subscription is live, and every member must know."""
        self._linked = False
        self._commands.clear()
        self._unconfirmed.clear()
        for subscription in (*self._subscriptions.values(), self.broadcast):
            subscription.confirmed.clear()
        for member in tuple(self.broadcast.members):
            member.lose_touch()

    def confirm(self, channel: str) -> None:
        """Redis has carried out one SUBSCRIBE."""
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] > 0:
            # It confirms one that was ended since, and begun again.
            return
        del self._unconfirmed[channel]
        subscription = self.broadcast if channel == self.broadcast.channel else self._subscriptions.get(channel)
        if subscription:
            subscription.confirmed.set()

    def next_command(self) -> tuple[str, ...] | None:
        """The next command to send, in the order in which they were decided; None if there is none."""
        if not self._commands:
            self.has_commands.clear()
            return None
        verb = self._commands[0][0]
        channels: list[str] = []
        while self._commands and self._commands[0][0] == verb and len(channels) < COMMAND_CHANNELS_MAX:
            channels.append(self._commands.popleft()[1])
        return (verb, *channels)

    def _subscribe(self, channel: str) -> None:
        if self._linked:
            self._unconfirmed[channel] += 1
        self._command("SUBSCRIBE", channel)

    def _command(self, verb: str, channel: str) -> None:
        # Without a connection there is nothing to send: link() will subscribe to what is wanted then.
        if self._linked:
            self._commands.append((verb, channel))
            self.has_commands.set()


logger = plain_logger(__name__)

PROBE_AFTER_S = 5.0
"""Silence after which Redis is asked whether it is there; after as long again the connection is given up."""
BREATHE_EVERY = 32
"""Messages handed out in a row, before the members get time to send them."""
BACKOFF = RetryPolicy(base_s=0.1, cap_s=3.0)
"""Waits between attempts to connect."""


class Hub:
    """Listens for all clients of a process.

    Args:
        subscription: makes a connection, which is opened and closed here.
        subscriptions: the sessions by channel.
        read: pub/sub message → event; None for what is to be ignored.
        counters: count outages.
        vouch: asked before listening again, with the newest message that was heard, its channel, and how many seconds
            ago: a Redis that does not know it has been set back, and clients must hear of that.
        control: heard, and made up to date, before anybody is served.
    """

    def __init__(
        self,
        subscription: Callable[[], LiveChannel],
        subscriptions: Subscriptions,
        read: Callable[[bytes], EncodedEvent | None],
        counters: Counters,
        vouch: Callable[[str, bytes, float], Awaitable[None]],
        control: Control,
    ) -> None:
        self._subscription = subscription
        self._vouch = vouch
        self._control = control
        self._newest: tuple[str, bytes, float] | None = None
        self._newest_event: EncodedEvent | None = None
        self._subscriptions = subscriptions
        self._read = read
        self._counters = counters
        self._probed = False
        self._lost_at: float | None = None

    async def run(self) -> None:
        """Listen until cancelled, over any number of outages."""
        failures = 0
        while True:
            try:
                await self._listen(self._subscription())
            except Exception as error:
                # Also a fault of ours: whatever happens, all clients depend on this loop going on.
                failures = 0 if self._lost_at is None else failures + 1
                self._note_loss(error)
            await asyncio.sleep(BACKOFF.delay_s(failures + 1, random.random))

    async def _listen(self, connection: LiveChannel) -> None:
        try:
            await connection.open()
            await self._heed(connection)
            if self._newest is not None:
                channel, message, heard_at = self._newest
                await self._vouch(channel, message, time.monotonic() - heard_at)
            self._subscriptions.link()
            self._probed = False
            await self._talk(connection)
        finally:
            self._subscriptions.unlink()
            await connection.close()

    async def _heed(self, connection: LiveChannel) -> None:
        """From here on no word on the control channel is missed."""
        await connection.send("SUBSCRIBE", self._control.channel)
        if await connection.hear(PROBE_AFTER_S) is None:
            raise TimeoutError(f"Redis has not answered for {PROBE_AFTER_S:g} s")
        await self._control.load()

    async def _talk(self, connection: LiveChannel) -> None:
        tasks = [asyncio.create_task(self._write(connection)), asyncio.create_task(self._hear(connection))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end_tasks(*tasks)

    async def _write(self, connection: LiveChannel) -> None:
        while True:
            await self._subscriptions.has_commands.wait()
            while command := self._subscriptions.next_command():
                await connection.send(*command)

    async def _hear(self, connection: LiveChannel) -> None:
        handed_out = 0
        while True:
            heard = await connection.hear(PROBE_AFTER_S)
            if heard is None:
                await self._probe(connection)
                continue
            self._probed = False
            crowded = self._take(heard)
            handed_out += 1
            if crowded or handed_out % BREATHE_EVERY == 0:
                # Buffered messages are read without a pause; the members would never get to run.
                await asyncio.sleep(0)

    async def _probe(self, connection: LiveChannel) -> None:
        if self._probed:
            raise TimeoutError(f"Redis has not answered for {PROBE_AFTER_S:g} s")
        self._probed = True
        await connection.send("PING")

    def _take(self, heard: Heard) -> bool:
        """Act on what Redis sent; returns whether a member would like to be given time to work."""
        channel, message = heard
        if message is not None:
            return self._hand_out(channel, message)
        if channel:
            self._subscriptions.confirm(channel)
            self._note_return()
        return False

    def _hand_out(self, channel: str, message: bytes) -> bool:
        if channel == self._control.channel:
            self._control.hear(message)
            return False
        # An event for several addresses is published on one channel right after the other.
        again = self._newest is not None and self._newest[1] == message
        event = self._newest_event if again else self._read(message)
        if event is None:
            logger.warning("bridge.gateway.message_ignored channel=%s bytes=%d", channel, len(message))
            return False
        self._newest, self._newest_event = (channel, message, time.monotonic()), event
        crowded = False
        for member in self._subscriptions.members_of(channel):
            crowded |= member.offer(event)
        return crowded

    def _note_loss(self, error: Exception) -> None:
        if self._lost_at is None:
            # Once an outage, however many attempts it takes.
            self._lost_at = time.monotonic()
            self._counters.redis_losses += 1
            expected = isinstance(error, (StoreError, TimeoutError))
            logger.warning(
                "bridge.gateway.redis_lost error=%s message=%r",
                type(error).__name__,
                str(error),
                exc_info=None if expected else error,
            )

    def _note_return(self) -> None:
        if self._lost_at is not None and self._subscriptions.broadcast.confirmed.is_set():
            logger.warning("bridge.gateway.redis_returned after_s=%.1f", time.monotonic() - self._lost_at)
            self._lost_at = None
