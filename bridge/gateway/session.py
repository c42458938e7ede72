"""One client's life: subscribe, hold, replay, release, go live; until one of several causes ends it.

One cursor says what the client has had, because positions are ordered across all streams: everything up to
it was sent, or not asked for. What the hub offers is queued. While there is a *gap* (at the beginning, after
the hub lost touch, when the queue was full, now and then), the queue is held, the history is read from the
cursor, and then the queue is released without what the history has brought already.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from starlette.types import Receive

from bridge.gateway.authenticator import Principal
from bridge.gateway.connection import LIVE, Ending, ResetReason, ResponseWriter, StalledError
from bridge.gateway.hub import Subscriptions
from bridge.gateway.replay_reader import Addresses, ReplayReader
from bridge.gateway.request import EncodedEvent, StreamRequest
from bridge.model.bounds import QUEUE_BYTES_MAX
from bridge.model.counting import Counters
from bridge.model.errors import StoreError, StoreRefusedError, StoreUnavailableError
from bridge.model.events import reset_frame, retry_frame
from bridge.model.plain_text import plain_logger
from bridge.model.position import START, Position
from bridge.model.registry import RetryPolicy, User
from bridge.settings import StreamSettings

logger = plain_logger(__name__)

CHECK_EVERY_S = 60.0
"""The history is read now and then, jittered by half, as a gap in pub/sub makes no sound; a short one more often."""
CHUNK_BYTES = 65_536
"""Frames are sent together up to this size, so that a stalled client is noticed within one chunk."""
RETRY_SPREAD = (0.5, 1.5)
"""Reconnect delays are multiplied by a random number from here."""
SHUTDOWN_SPREAD = (0.5, 4.0)
"""The same when all clients are sent away at once."""
BACKOFF = RetryPolicy(base_s=0.2, cap_s=3.0)
"""Waits before reading the history again while Redis is away."""
REFUSED_WAIT_S = 5.0
"""The same while Redis refuses for good."""
EXPIRY_MAX_S = 30 * 86_400.0
"""No stream is older than this, however long its token is good."""

T = TypeVar("T")


class Session:
    """One client's life."""

    def __init__(
        self,
        *,
        principal: Principal,
        request: StreamRequest,
        wire: ResponseWriter,
        subscriptions: Subscriptions,
        replay_reader: ReplayReader,
        settings: StreamSettings,
        counters: Counters,
    ) -> None:
        self._principal = principal
        self._request = request
        self._whose: Addresses = (User(principal.user), *request.topics)
        self._wire = wire
        self._subscriptions, self._replay_reader = subscriptions, replay_reader
        self._settings, self._counters = settings, counters
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._pumping: asyncio.Task[None] | None = None
        self._queue: deque[EncodedEvent] = deque()
        self._queue_bytes = self._spilled = self._read_at_ms = 0
        self._wake = asyncio.Event()
        self._holding, self._gap = True, False
        self._reset_due: ResetReason | None = None
        self._since: Position | None = None
        self._cursor = self._heard = self._heard_at_reset = START
        self._check_at = _next_check(self._settings)
        self._hearing = subscriptions.join(self._whose, self)

    def look(self) -> bool:
        """Whether the client's connection has ended while the session still runs."""
        return self._wire.look() and not self._ending.done()

    # What others tell the session; all of it returns at once

    def offer(self, event: EncodedEvent) -> bool:
        """See ``Member``. Full of events: a live client is cut. Full of bytes, or not live: the history has them."""
        if event.position is self._heard:
            return False  # offered before, under another address
        self._heard = event.position
        if self._ending.done() or not self._request.wants(event):
            return False
        full = len(self._queue) + self._spilled >= self._settings.gateway_queue_max
        if full or (self._queue and self._queue_bytes + len(event.frame) > QUEUE_BYTES_MAX):
            if not self._settings.retention or (full and not self._holding):
                self.end(Ending.TOO_SLOW)
                return False
            self._spill()
        self._queue.append(event)
        self._queue_bytes += len(event.frame)
        self._wake.set()
        half_full = 2 * (len(self._queue) + self._spilled) >= self._settings.gateway_queue_max
        return half_full or 2 * self._queue_bytes >= QUEUE_BYTES_MAX

    def _spill(self) -> None:
        """Keep nothing of what is queued: it is read from the history when the client is ready for it."""
        if not self._holding:
            # It is waited for as if it were still here.
            self._spilled += len(self._queue)
        self._queue.clear()
        self._queue_bytes = 0
        self._gap = True

    def lose_touch(self) -> None:
        """See ``Member``."""
        self._gap = True
        self._wake.set()

    def note_beginning(self, began: Position) -> bool:
        """Learn where the order of the streams began; returns whether that is news.

        If it began after this stream did, Redis was set back, and what was sent before vouches for nothing; though the
        cursor may have passed the new beginning already, with an event that was heard since.
        """
        if self._since is None or began <= self._since:
            return False
        self._since, self._reset_due = began, self._reset_due or ResetReason.TRIMMED
        self.lose_touch()
        return True

    def end(self, ending: Ending) -> None:
        """End the stream, with not a frame more; the first cause counts."""
        if not self._ending.done():
            self._ending.set_result(ending)
            if self._pumping:
                self._pumping.cancel()

    # Its life

    async def run(self, receive: Receive) -> Ending:
        """Serve the client until something ends it; frees everything, also when cancelled."""
        tasks = []
        expiry = self._expire_in_time()
        try:
            await self._wire.open()
            listener = asyncio.create_task(self._listen(receive))
            pump = self._pumping = asyncio.create_task(self._pump())
            tasks = [listener, pump]
            ending = await self._ending
            self._subscriptions.leave(self._hearing, self)
            pump.cancel()
            await asyncio.wait({pump})
            await self._part(ending, listener)
            return ending
        finally:
            self._subscriptions.leave(self._hearing, self)
            self._queue.clear()
            self._queue_bytes = 0
            if expiry:
                expiry.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _expire_in_time(self) -> asyncio.TimerHandle | None:
        if self._principal.expires_at is None:
            return None
        left_s = min(self._principal.expires_at - time.time(), EXPIRY_MAX_S)
        return asyncio.get_running_loop().call_later(max(0.0, left_s), self.end, Ending.TOKEN_EXPIRED)

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end(Ending.CLIENT_LEFT)

    async def _part(self, ending: Ending, listener: "asyncio.Task[None]") -> None:
        match ending:
            case Ending.CLIENT_LEFT | Ending.TOO_SLOW | Ending.STALLED:
                await self._wire.hang_up(listener)
            case Ending.SHUTDOWN:
                await self._wire.finish(self._retry_hint(SHUTDOWN_SPREAD), listener)
            case _:
                await self._wire.finish(b"", listener)

    async def _pump(self) -> None:
        try:
            await self._find_start()
            # The first frame: what is published from here on reaches this client.
            # Who came without an id gets one, or an early end would make it a newcomer who missed nothing.
            position = "" if self._request.resumes else str(self._cursor)
            await self._wire.send(self._retry_hint(RETRY_SPREAD, position))
            await self._catch_up()
            self._since = self._since or self._cursor
            await self._wire.send(LIVE)
            while True:
                if self._gap:
                    await self._catch_up()
                if body := self._take():
                    await self._wire.send(body)
                else:
                    await self._rest()
        except StalledError:
            self.end(Ending.STALLED)
        except OSError:
            self.end(Ending.CLIENT_LEFT)
        except Exception:
            logger.exception("bridge.gateway.stream_failed user_id=%s", self._principal.user)
            self.end(Ending.FAILED)

    # Where it starts

    async def _find_start(self) -> None:
        """Set the cursor, and whether there is something to catch up with.

        Only once everything new reaches the queue, or what is published in between would be lost.
        """
        await self._until_heard()
        self._counters.replays += self._request.resumes
        if not (self._request.resumes and self._settings.retention):
            now = await self._insist(self._replay_reader.now)
            # Who comes now has missed nothing yet, however long ago the newest event was.
            self._cursor, self._read_at_ms = now.horizon, now.read_at_ms
            self._gap = self._gap or self._request.resumes
            return
        position, event_id = self._request.after, self._request.last_event_id
        if event_id and not position:
            position = await self._insist(partial(self._replay_reader.locate, self._whose, event_id))
        self._cursor = position or START
        self._gap = True
        if not position:
            self._reset_due = ResetReason.UNKNOWN_ID

    # Catching up with the history

    async def _catch_up(self) -> None:
        """Close the gap, and any that opens meanwhile; then the queue follows on the cursor."""
        self._holding = True
        self._spilled = 0
        while self._gap:
            await self._until_heard()
            # No await since it was heard: a loss from here on sets it again.
            self._gap = False
            if self._settings.retention:
                await self._read_on()
            else:
                await self._reset(ResetReason.NOT_RETAINED)
        self._holding = False

    async def _read_on(self) -> None:
        last = False
        while not (last or self._gap):
            page = await self._insist(partial(self._replay_reader.read, self._whose, self._cursor, self._read_at_ms))
            if reason := self._reset_due or (None if page.complete else ResetReason.TRIMMED):
                self._reset_due = None
                # After a loss of Redis' memory the order may begin anew, before what was heard.
                self._heard_at_reset = self._heard
                # Only now: of what is published after a reset nothing may be missing, and the history may lose it
                # before it is read.
                await self._reset(reason)
            await self._send_all(page.events)
            self._cursor = page.horizon
            last = page.last
        if last:
            self._read_at_ms = page.read_at_ms
            self._counters.backfills += 1

    async def _send_all(self, events: tuple[EncodedEvent, ...]) -> None:
        waiting = deque(event for event in events if self._request.wants(event))
        while waiting:
            await self._wire.send(self._chunk(waiting))

    # Live

    def _take(self) -> bytes:
        """The next frames of the queue; moves the cursor past them."""
        while self._queue and self._queue[0].position <= self._cursor:
            self._queue_bytes -= len(self._queue.popleft().frame)
        if not self._queue:
            # Whatever else was heard was for others' ears; so a later check begins here.
            if self._heard is not self._heard_at_reset:
                self._cursor = max(self._cursor, self._heard)
            return b""
        chunk = self._chunk(self._queue)
        self._queue_bytes -= len(chunk)
        return chunk

    def _chunk(self, events: deque[EncodedEvent]) -> bytes:
        """Take frames off the left, up to ``CHUNK_BYTES`` and at least one."""
        frames: list[bytes] = []
        size_bytes = 0
        while events and (not frames or size_bytes + len(events[0].frame) <= CHUNK_BYTES):
            event = events.popleft()
            self._cursor = event.position
            frames.append(event.frame)
            size_bytes += len(event.frame)
        self._counters.events_sent += len(frames)
        return b"".join(frames)

    async def _rest(self) -> None:
        """Wait for something to do. Called when there is nothing, so no wake-up is lost by clearing."""
        self._wake.clear()
        try:
            async with asyncio.timeout(min(self._wire.silence_left_s, self._check_at - time.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            await self._wire.beat()
        if time.monotonic() >= self._check_at:
            self._check_at = _next_check(self._settings)
            self._gap = self._gap or self._settings.retention

    # Patience

    async def _until_heard(self) -> None:
        while not self._subscriptions.hears(self._hearing):
            await self._wire.beating(self._subscriptions.wait_until_heard(self._hearing))

    async def _insist(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Read from Redis, again and again while it is away."""
        for attempt in range(1, 1_000_000):
            try:
                return await self._wire.beating(read())
            except StoreError as error:
                self._counters.backfill_retries += 1
                wait_s = BACKOFF.delay_s(attempt, random.random)
                if isinstance(error, StoreRefusedError):
                    wait_s = max(wait_s, REFUSED_WAIT_S)  # nothing changes before an operator does something
                await self._wire.beating(asyncio.sleep(wait_s))
        raise StoreUnavailableError

    # Control frames

    async def _reset(self, reason: ResetReason) -> None:
        await self._wire.send(reset_frame(reason).encode())
        self._counters.resets += 1

    def _retry_hint(self, spread: tuple[float, float], position: str = "") -> bytes:
        delay_s = self._settings.gateway_retry_s * random.uniform(*spread)  # noqa: S311  (no secret)
        return retry_frame(round(delay_s * 1000), position).encode()


def _next_check(settings: StreamSettings) -> float:
    """Before half the life of any history is over (see LIFE_MIN_S): what expired in between would pass for a gap."""
    every_s = min(CHECK_EVERY_S, settings.stream_ttl_s / 3 or CHECK_EVERY_S)
    return time.monotonic() + every_s * random.uniform(*RETRY_SPREAD)  # noqa: S311  (no secret)
