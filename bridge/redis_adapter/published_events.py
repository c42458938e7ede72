"""``PublishedEvents``: what clients were told: seen marks and streams, looked up event by event; for operators."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import redis

from bridge.model.bounds import PARSER_ERRORS
from bridge.model.registry import Id
from bridge.model.registry.identifiers import is_id_text
from bridge.ports.events import PastEvent, Publication, Sighting
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.keyspace import seen_owner
from bridge.settings import RetentionSettings

SCAN_COUNT = 1000
EVERYBODY = None


class PublishedEvents:
    """``bridge.ports.Publications`` on Redis."""

    def __init__(self, client: redis.Redis, settings: RetentionSettings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._keeps_history = settings.stream_ttl_s > 0

    def look_up(self, events: Sequence[tuple[Id | None, UUID]]) -> list[Sighting]:
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            for audience, event_id in events:
                pipeline.get(self._mark(audience, event_id))
                pipeline.type(self._stream(audience))
            answers = pipeline.execute(raise_on_error=False)
            return [
                self._sighting(audience, mark, kind)
                for (audience, _), mark, kind in zip(events, answers[::2], answers[1::2], strict=True)
            ]

    def _sighting(self, audience: Id | None, mark: Any, kind: Any) -> Sighting:
        if isinstance(mark, redis.ResponseError):
            return Sighting(refusal=str(mark))
        if mark is not None:
            entries: Any = self._client.xrange(self._stream(audience), text(mark), text(mark))
            return Sighting(published=True, payload=entries[0][1].get(b"data", b"") if entries else b"")
        if self._keeps_history and kind not in (b"none", b"stream"):
            return Sighting(refusal=f"Its stream's key holds a {text(kind)}.")
        return Sighting()

    def newest(self, audience: Id | None, limit: int) -> Iterator[PastEvent]:
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
        with store_errors():
            return frozenset(
                event_id
                for key in self._client.scan_iter(match=self._keys.seen_marks(), count=SCAN_COUNT)
                if (event_id := text(key).rpartition(":")[2]) in event_ids
            )

    def _stream(self, audience: Id | None) -> str:
        return self._keys.BROADCAST_STREAM if audience is None else self._keys.user_stream(audience)

    def _mark(self, audience: Id | None, event_id: UUID) -> str:
        if audience is None:
            return self._keys.broadcast_seen(event_id)
        return self._keys.user_seen(audience, event_id)
