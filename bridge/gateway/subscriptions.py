"""Who listens to which channel, and what Redis must still be told about it. No I/O."""

import asyncio
from collections import Counter, deque
from typing import Protocol

from bridge.gateway.delivery import Delivery
from bridge.model.registry import Id
from bridge.redis_adapter import Keyspace

COMMAND_CHANNELS_MAX = 500
"""Channels in one (un)subscribe command at most."""


class Member(Protocol):
    """Somebody who listens."""

    def offer(self, delivery: Delivery) -> bool:
        """Take an event; returns whether the member would like to be given time to work."""
        ...

    def lose_touch(self) -> None:
        """Learn that from now on events may be missed, until the room is confirmed again."""
        ...


class Room:
    """The members of one channel.

    Attributes:
        channel: its name in Redis.
        members: who listens.
        confirmed: set while Redis is known to send us what is published there.
    """

    __slots__ = ("channel", "confirmed", "members")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.members: set[Member] = set()
        self.confirmed = asyncio.Event()


class Rooms:
    """One room a user, while somebody listens to that user; and the broadcast room, which holds everybody."""

    def __init__(self, keys: Keyspace) -> None:
        self._keys = keys
        self.broadcast = Room(keys.BROADCAST_CHANNEL)
        self.has_commands = asyncio.Event()
        self._rooms: dict[str, Room] = {}
        self._commands: deque[tuple[str, str]] = deque()
        self._unconfirmed: Counter[str] = Counter()
        self._linked = False

    @property
    def channels(self) -> tuple[str, ...]:
        """Every channel that should be subscribed."""
        return (*self._rooms, self.broadcast.channel)

    def join(self, user_id: Id, member: Member) -> Room:
        """Let somebody listen to a user and to the broadcasts; see ``wait_until_heard``."""
        channel = self._keys.user_channel(user_id)
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = Room(channel)
            self._subscribe(channel)
        room.members.add(member)
        self.broadcast.members.add(member)
        return room

    def listeners(self, user_id: Id) -> int:
        """How many listen to a user."""
        room = self._rooms.get(self._keys.user_channel(user_id))
        return len(room.members) if room else 0

    def leave(self, room: Room, member: Member) -> None:
        """Let somebody go; the last one closes the room. Idempotent."""
        self.broadcast.members.discard(member)
        room.members.discard(member)
        if not room.members and self._rooms.get(room.channel) is room:
            del self._rooms[room.channel]
            self._command("UNSUBSCRIBE", room.channel)

    def hears(self, room: Room) -> bool:
        """Whether everything published to this room and to everybody reaches us."""
        return room.confirmed.is_set() and self.broadcast.confirmed.is_set()

    async def wait_until_heard(self, room: Room) -> None:
        """Wait until ``hears`` has become true; ask it again, as it may have changed since."""
        while not self.hears(room):
            await room.confirmed.wait()
            await self.broadcast.confirmed.wait()

    def members_of(self, channel: str) -> tuple[Member, ...]:
        """Who listens to a channel."""
        room = self.broadcast if channel == self.broadcast.channel else self._rooms.get(channel)
        return tuple(room.members) if room else ()

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
        for room in (*self._rooms.values(), self.broadcast):
            room.confirmed.clear()
        for member in tuple(self.broadcast.members):
            member.lose_touch()

    def confirm(self, channel: str) -> None:
        """Redis has carried out one SUBSCRIBE."""
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] > 0:
            # That was the subscription of a room closed since; it was ended again before ours.
            return
        del self._unconfirmed[channel]
        room = self.broadcast if channel == self.broadcast.channel else self._rooms.get(channel)
        if room:
            room.confirmed.set()

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
