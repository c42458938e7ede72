"""``MemoryChannels`` and ``MemoryLiveChannel``: what is published is heard by whoever listens; nothing is kept."""

import asyncio
from collections.abc import Callable

from bridge.model.errors import StoreUnavailableError
from bridge.model.event_log import Heard
from bridge.model.registry import Address
from bridge.model.registry.addresses import EVERYONE_TEXT
from bridge.testing.state import Faults

UNREAD_MAX = 10_000
"""What one listener may leave unread; then it is cut, as a slow subscriber of Redis is."""


class MemoryChannels:
    """Satisfies ``bridge.ports.Channels``, and makes connections to them."""

    BROADCAST_CHANNEL = EVERYONE_TEXT
    CONTROL_CHANNEL = "control"

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.listeners: set[MemoryLiveChannel] = set()

    def channel(self, address: Address) -> str:
        return str(address)

    def connection(self) -> "MemoryLiveChannel":
        """A connection that is not open yet."""
        return MemoryLiveChannel(self)

    def cut(self) -> None:
        """Break every connection."""
        for listener in tuple(self.listeners):
            listener.cut()

    def publish(self, channel: str, message: bytes) -> int:
        """Tell whoever listens; returns how many do."""
        return sum(listener.tell(channel, message) for listener in tuple(self.listeners))


class MemoryLiveChannel:
    """Satisfies ``bridge.ports.LiveChannel``."""

    def __init__(self, channels: MemoryChannels) -> None:
        self._channels = channels
        self._subscribed: set[str] = set()
        self._unread: asyncio.Queue[Heard | None] = asyncio.Queue()

    async def open(self) -> None:
        with self._channels.faults.call():
            self._loop = asyncio.get_running_loop()
            self._channels.listeners.add(self)

    async def send(self, verb: str, *channels: str) -> None:
        self._ensure_open()
        if verb == "SUBSCRIBE":
            self._subscribed.update(channels)
            for channel in channels:
                self._unread.put_nowait(Heard(channel, None))
        elif verb == "UNSUBSCRIBE":
            self._subscribed.difference_update(channels)
        else:
            self._unread.put_nowait(Heard("", None))

    async def hear(self, timeout_s: float) -> Heard | None:
        if self._unread.empty():
            self._ensure_open()
            try:
                heard = await asyncio.wait_for(self._unread.get(), timeout_s)
            except TimeoutError:
                return None
        else:  # what has come is read on without a pause, as from a socket
            heard = self._unread.get_nowait()
        if heard is None:
            self._ensure_open()
        return heard

    async def close(self) -> None:
        self._channels.listeners.discard(self)

    def tell(self, channel: str, message: bytes) -> bool:
        """Called for everything that is published; returns whether it is heard."""
        if self._unread.qsize() >= UNREAD_MAX:
            self.cut()
            return False
        if hears := channel in self._subscribed:
            self._in_loop(self._unread.put_nowait, Heard(channel, message))
        return hears

    def cut(self) -> None:
        """Break the connection: what is unread is lost with it."""
        self._channels.listeners.discard(self)
        self._in_loop(self._lose)

    def _in_loop(self, act: Callable[..., None], *arguments: Heard) -> None:
        """At once where the connection is read, and soon from any other thread."""
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
            act(*arguments)
        else:
            self._loop.call_soon_threadsafe(act, *arguments)

    def _lose(self) -> None:
        while not self._unread.empty():
            self._unread.get_nowait()
        self._unread.put_nowait(None)

    def _ensure_open(self) -> None:
        if self not in self._channels.listeners:
            raise StoreUnavailableError("The connection was cut.", code="ConnectionError")
