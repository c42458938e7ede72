"""``PublishedEvents``: what clients were told: seen marks and streams, looked up event by event; for operators."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, cast
from uuid import UUID

import redis

from bridge.model.bounds import PARSER_ERRORS
from bridge.model.registry import Id
from bridge.model.registry.identifiers import is_id_text
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.keyspace import seen_owner
from bridge.settings import RetentionSettings

SCAN_COUNT = 1000
EVERYBODY = None
Audience: TypeAlias = Id | None
"""Whose stream; ``EVERYBODY`` for the broadcasts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """What Redis would say to an event that is published now."""

    # Where it stands, or stood, in its stream; empty if it was not published within the dedup window
    position: str = ""
    refusal: str = ""  # why Redis would refuse it; empty if it would not


@dataclass(frozen=True, kw_only=True, slots=True)
class PastEvent:
    """An event in a stream."""

    event_id: str
    event_type: str
    occurred_at: datetime
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """An event stands, or stood, in a stream."""

    position: str  # its place in the order of all events
    user_id: str | None  # None for a broadcast
    seen_key: str  # the key that remembers it
    in_stream: bool  # whether a client that reconnects can still get it

    @property
    def at_ms(self) -> int:
        """When, in ms of Redis time."""
        return int(self.position.partition("-")[0])


class PublishedEvents:
    """Reads marks and streams; writes nothing."""

    def __init__(self, client: redis.Redis, settings: RetentionSettings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._keeps_history = settings.stream_ttl_s > 0

    def look_up(self, events: Sequence[tuple[Audience, UUID]]) -> list[Sighting]:
        """For each event: whether it was published, and whether it could be."""
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            for audience, event_id in events:
                pipeline.get(self._mark(audience, event_id))
                pipeline.type(self._stream(audience))
            answers = pipeline.execute(raise_on_error=False)
        return [self._sighting(mark, kind) for mark, kind in zip(answers[::2], answers[1::2], strict=True)]

    def _sighting(self, mark: Any, kind: Any) -> Sighting:
        if isinstance(mark, redis.ResponseError):
            return Sighting(refusal=str(mark))
        if mark is not None:
            return Sighting(position=text(mark))
        if self._keeps_history and kind not in (b"none", b"stream"):
            return Sighting(refusal=f"Its stream's key holds a {text(kind)}.")
        return Sighting()

    def payload_at(self, audience: Audience, position: str) -> bytes | None:
        """The payload that was published there; None if it is no longer retained."""
        with store_errors():
            entries: Any = self._client.xrange(self._stream(audience), position, position)
        return entries[0][1].get(b"data") if entries else None

    def newest(self, audience: Audience, limit: int) -> Iterator[PastEvent]:
        """Up to so many of the retained events, newest first; a stranger's entries are passed over."""
        with store_errors():
            entries: Any = self._client.xrevrange(self._stream(audience), count=limit)
        for _, fields in entries:
            with suppress(KeyError, *PARSER_ERRORS):
                yield PastEvent(
                    event_id=text(fields[b"event_id"]),
                    event_type=text(fields[b"event_type"]),
                    occurred_at=datetime.fromisoformat(text(fields[b"occurred_at"])),
                    payload=fields[b"data"],
                )

    def find(self, event_id: UUID, user: str | None = None) -> Iterator[Publication]:
        """Where an event was published.

        A large store answers at once if the canonical id of its user is given; otherwise all keys are looked through.
        """
        with store_errors():
            if user is not None:
                marks = {self._mark(user, event_id), self._mark(EVERYBODY, event_id)}
            else:
                found = self._client.scan_iter(match=self._keys.seen_marks(event_id), count=SCAN_COUNT)
                marks = {text(key) for key in found}
            for mark in sorted(marks):
                position = cast("bytes | None", self._client.get(mark))
                owner = self._owner(mark)
                if position is not None and owner:
                    yield self._publication(mark, owner, text(position))

    def _publication(self, mark: str, owner: str, position: str) -> Publication:
        user = None if owner == self._keys.BROADCAST_STREAM else owner
        entries = self._client.xrange(self._stream(user), position, position)
        return Publication(position=position, user_id=user, seen_key=mark, in_stream=bool(entries))

    def _owner(self, mark: str) -> str:
        """Whose seen mark it is: a user's id, or the broadcast stream; empty if it is not one of ours."""
        owner = seen_owner(mark)
        return owner if owner == self._keys.BROADCAST_STREAM or is_id_text(owner) else ""

    def published(self, event_ids: Collection[str]) -> frozenset[str]:
        """The events that were published within the dedup window; looks through all keys."""
        with store_errors():
            return frozenset(
                event_id
                for key in self._client.scan_iter(match=self._keys.seen_marks(), count=SCAN_COUNT)
                if (event_id := text(key).rpartition(":")[2]) in event_ids
            )

    def _stream(self, audience: Audience) -> str:
        return self._keys.BROADCAST_STREAM if audience is None else self._keys.user_stream(audience)

    def _mark(self, audience: Audience, event_id: UUID) -> str:
        if audience is None:
            return self._keys.broadcast_seen(event_id)
        return self._keys.user_seen(audience, event_id)
