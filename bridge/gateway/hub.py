"""The one pub/sub connection of a process: keeps it, and hands what it hears to the subscriptions' members.

When it breaks, every member is told before a new one is made.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from bridge.gateway.request import EncodedEvent
from bridge.gateway.subscriptions import Subscriptions
from bridge.model.errors import StoreError
from bridge.model.event_log import Heard
from bridge.model.gateway_counters import Counters
from bridge.model.plain_text import plain_logger
from bridge.model.registry import RetryPolicy
from bridge.ports import LiveChannel
from bridge.runtime.supervision import end_tasks

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
    """

    def __init__(
        self,
        subscription: Callable[[], LiveChannel],
        subscriptions: Subscriptions,
        read: Callable[[bytes], EncodedEvent | None],
        counters: Counters,
        vouch: Callable[[str, bytes, float], Awaitable[None]],
    ) -> None:
        self._subscription = subscription
        self._vouch = vouch
        self._newest: tuple[str, bytes, float] | None = None
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
            if self._newest is not None:
                channel, message, heard_at = self._newest
                await self._vouch(channel, message, time.monotonic() - heard_at)
            self._subscriptions.link()
            self._probed = False
            await self._talk(connection)
        finally:
            self._subscriptions.unlink()
            await connection.close()

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
        event = self._read(message)
        if event is None:
            logger.warning("bridge.gateway.message_ignored channel=%s bytes=%d", channel, len(message))
            return False
        self._newest = (channel, message, time.monotonic())
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
