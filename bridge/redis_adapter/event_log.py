"""Reading what a client missed: its own stream and the broadcasts, as one ordered history without gaps."""

from typing import cast
from uuid import UUID

import redis.asyncio

from bridge.model.bounds import ENTRY_BYTES_MAX, PARSER_ERRORS, REPLAY_BYTES_MAX
from bridge.model.event_log import Page, Position, StreamedEvent, page_of, read_entry, read_message
from bridge.model.registry import Id
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.keyspace import seen_owner
from bridge.redis_adapter.script import script
from bridge.settings import RetentionSettings

PAGE = 200
"""Entries read from each stream at once."""


class History:
    """``bridge.ports.EventLog`` on Redis. The asyncio client stays its owner's to close."""

    def __init__(self, client: redis.asyncio.Redis, settings: RetentionSettings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._read = script("read")
        self._now = script("now")
        self._known = script("vouch")
        self._stream_ttl_s = settings.stream_ttl_s

    async def locate(self, user_id: Id, event_id: UUID) -> Position | None:
        with store_errors():
            marks = await self._client.mget(
                self._keys.user_seen(user_id, event_id), self._keys.broadcast_seen(event_id)
            )
        return next((Position(text(mark)) for mark in marks if mark), None)

    async def vouch(self, channel: str, message: bytes) -> bool:
        """As ``bridge.ports.EventLog.vouch``; set back as by a fail-over to a replica that lagged behind."""
        event, owner = read_message(message), seen_owner(channel)
        mark = self._keys.user_seen(owner, event.event_id) if owner else self._keys.broadcast_seen(event.event_id)
        with store_errors():
            known = await self._known.run_async(self._client, [str(event.position)], seen=mark)
        return bool(known)

    async def now(self) -> Page:
        with store_errors():
            newest, now_ms = await self._now.run_async(self._client)
        return page_of(Position(text(newest)), complete=True, read_at_ms=int(text(now_ms)))

    async def read(
        self, user_id: Id, after: Position, *, read_at_ms: int = 0, limit_bytes: int = REPLAY_BYTES_MAX
    ) -> Page:
        with store_errors():
            newest, complete, now_ms, *streams = await self._read.run_async(
                self._client,
                [str(after), PAGE, self._stream_ttl_s, read_at_ms, limit_bytes, ENTRY_BYTES_MAX],
                stream=self._keys.user_stream(user_id),
            )
        own, broadcast, *whole = streams
        entries = [[_entry(entry) for entry in stream] for stream in (own, broadcast)]
        return page_of(Position(text(newest)), entries, whole, complete=bool(complete), read_at_ms=int(text(now_ms)))


def _entry(entry: object) -> tuple[Position, StreamedEvent | None]:
    """Its position and, unless it was written by a stranger, its event."""
    position, pairs = cast("tuple[bytes | str, list[bytes | str]]", entry)
    try:
        fields = {text(name): text(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
        event = read_entry(fields, text(position))
    except (KeyError, *PARSER_ERRORS):
        return Position(text(position)), None
    return event.position, event
