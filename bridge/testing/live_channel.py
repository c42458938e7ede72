"""``MemoryChannels``: what is published is heard at once, by whoever listens at that moment; nothing is kept."""

from collections.abc import Callable

from bridge.model.registry import Id

Listener = Callable[[str, bytes], None]
"""Told of a channel and what was published there."""


class MemoryChannels:
    """Satisfies ``bridge.ports.Channels``; fans out to listeners."""

    BROADCAST_CHANNEL = "broadcast"
    _USER = "user:"

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def user_channel(self, user_id: Id) -> str:
        """As the port says."""
        return f"{self._USER}{user_id}"

    def owner_of(self, channel: str) -> str:
        """Whose channel it is; empty for everybody's."""
        return channel.removeprefix(self._USER) if channel.startswith(self._USER) else ""

    def listen(self, listener: Listener) -> None:
        """Have somebody hear all channels from now on, until ``cut``."""
        self._listeners.append(listener)

    def cut(self) -> None:
        """Everybody who listens hears nothing more."""
        self._listeners.clear()

    def publish(self, user_id: Id | None, message: bytes) -> None:
        """Tell whoever listens."""
        channel = self.BROADCAST_CHANNEL if user_id is None else self.user_channel(user_id)
        for listener in tuple(self._listeners):
            listener(channel, message)
