"""The Redis transports of the bridge: kombu's own, with channels that claim, and a poller that waits for changes."""

from contextlib import suppress
from queue import Empty
from typing import Any

from kombu.transport import redis as stock

from bridge.celery_runtime.redis_channel import ClaimingChannel
from bridge.redis_adapter.kombu_support import (
    POLL_S,
    BrokerSentinelConnection,
    BrokerSentinelSSLConnection,
    OtherServerError,
    QueueWatch,
)


class ClaimingPoller(stock.MultiChannelPoller):
    """kombu's poller, which also waits for Redis to say that a queue changed."""

    def __init__(self) -> None:
        super().__init__()
        self._loop: Any = None
        self._turn: Any = None
        self._turns_every_s: float | None = None

    def on_poll_start(self) -> None:
        """Claim where there is room and reason to, and write down what is done while Redis answers."""
        for channel in self._channels:
            if channel.in_doubt:
                raise OtherServerError("Another Redis may be the master now.")
            channel.deliver_parted()
            channel.keep_listening()
            if channel.active_queues and channel.qos.can_consume():
                self._listen_for_changes(channel)
        super().on_poll_start()
        # Waiting for this first would hold up the next message; should the worker die between the two, what was done is
        # delivered again and recognised, as after a death a moment earlier.
        for channel in self._channels:
            channel.qos.flush_acknowledgements()

    def on_readable(self, fileno: int) -> None:
        """Read whatever arrived; wake-ups also while no message may be taken, or they would spin the loop."""
        channel_and_type = self._fd_to_chan.get(fileno)
        if channel_and_type is not None and channel_and_type[1] == QueueWatch.WAKE:
            channel_and_type[0].read_wake_up()
            # Otherwise a caller that drains events takes the wake-up for a delivered message.
            raise Empty
        super().on_readable(fileno)

    def join(self, loop: Any) -> None:
        """Have an event loop turn also while nothing arrives, since claims are sent before each wait."""
        self._loop = loop
        self.turn_every(POLL_S)

    def turn_every(self, interval_s: float) -> None:
        """Change how often the loop turns at the least."""
        if self._loop is None or interval_s == self._turns_every_s:
            return
        if self._turn is not None:
            self._turn.cancel()
        self._turns_every_s = interval_s
        self._turn = self._loop.call_repeatedly(interval_s, _turn)

    def drop(self, channel: ClaimingChannel, client: Any, kind: str) -> None:
        """Close one connection of a channel, and watch it no more; it is made anew before the next wait."""
        self._chan_to_sock.pop((channel, client, kind), None)
        for fileno in [number for number, known in self._fd_to_chan.items() if known == (channel, kind)]:
            # Its number may soon be another socket's.
            del self._fd_to_chan[fileno]
            if self._loop is not None:
                self._loop.remove(fileno)
            with suppress(KeyError, ValueError, OSError):
                self.poller.unregister(fileno)
        client.connection.disconnect()

    def _listen_for_changes(self, channel: ClaimingChannel) -> None:
        if not self._client_registered(channel, channel.wake_client, channel.WAKE):
            self._register(channel, channel.wake_client, channel.WAKE)
        channel.listen_for_changes()


class ClaimingTransportMixin:
    """What makes a kombu Redis transport a claiming one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = ClaimingPoller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Join Celery's event loop."""
        super().register_with_event_loop(connection, loop)  # type: ignore[misc]
        self.cycle.join(loop)


def _turn() -> None:
    """Do nothing: the loop's own work before each poll is what matters."""


class ClaimingTransport(ClaimingTransportMixin, stock.Transport):
    """``redis://`` with atomic claims."""

    Channel = ClaimingChannel


class ClaimingSentinelChannel(ClaimingChannel, stock.SentinelChannel):
    """A claiming channel behind sentinels."""

    connection_class = BrokerSentinelConnection
    connection_class_ssl = BrokerSentinelSSLConnection


class ClaimingSentinelTransport(ClaimingTransportMixin, stock.SentinelTransport):
    """``sentinel://`` with atomic claims."""

    Channel = ClaimingSentinelChannel
