"""Who listens to which channel, and what Redis must still be told about it. No I/O."""

import asyncio
from collections import Counter, deque
from typing import Protocol

from bridge.gateway.request import EncodedEvent
from bridge.model.registry import Id
from bridge.ports import Channels

COMMAND_CHANNELS_MAX = 500
"""Channels in one (un)subscribe command at most."""


class Member(Protocol):
    """Somebody who listens."""

    def offer(self, event: EncodedEvent) -> bool:
        """Take an event; returns whether the member would like to be given time to work."""
        ...

    def lose_touch(self) -> None:
        """Learn that from now on events may be missed, until the subscription is confirmed again."""
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


class Subscriptions:
    """One subscription a user, while a client listens to that user; and the broadcast one, which holds every client."""

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

    def join(self, user_id: Id, member: Member) -> Subscription:
        """Add a member that hears a user and the broadcasts; see ``wait_until_heard``."""
        channel = self._keys.user_channel(user_id)
        subscription = self._subscriptions.get(channel)
        if subscription is None:
            subscription = self._subscriptions[channel] = Subscription(channel)
            self._subscribe(channel)
        subscription.members.add(member)
        self.broadcast.members.add(member)
        return subscription

    def listeners(self, user_id: Id) -> int:
        """How many listen to a user."""
        subscription = self._subscriptions.get(self._keys.user_channel(user_id))
        return len(subscription.members) if subscription else 0

    def leave(self, subscription: Subscription, member: Member) -> None:
        """Remove a member; the last one ends the subscription. Idempotent."""
        self.broadcast.members.discard(member)
        subscription.members.discard(member)
        if not subscription.members and self._subscriptions.get(subscription.channel) is subscription:
            del self._subscriptions[subscription.channel]
            self._command("UNSUBSCRIBE", subscription.channel)

    def hears(self, subscription: Subscription) -> bool:
        """Whether everything published on its channel and on the broadcast channel reaches us."""
        return subscription.confirmed.is_set() and self.broadcast.confirmed.is_set()

    async def wait_until_heard(self, subscription: Subscription) -> None:
        """Wait until ``hears`` has become true; ask it again, as it may have changed since."""
        while not self.hears(subscription):
            await subscription.confirmed.wait()
            await self.broadcast.confirmed.wait()

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
