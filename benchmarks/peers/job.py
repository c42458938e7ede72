"""The job of each event, written once for all peers: from a domain event on the wire to XADD and PUBLISH."""

import os
from typing import Any

import msgspec
import redis
import redis.asyncio

from bridge import User
from bridge.catalogs.finance import REGISTRY
from bridge.model.events import encode_payload
from bridge.model.pipeline.pipeline import transform
from bridge.redis_adapter.keyspace import Keyspace

KEYS = Keyspace()
MAXLEN = 1000
"""As the bridge's default (BRIDGE_STREAM_MAXLEN)."""
SENT_TOGETHER = 100
"""Calls that an asyncio producer has in flight."""

_MAPPINGS = {row.domain_event_class.__name__: row for row in REGISTRY.mappings}


def broker_url() -> str:
    """Where the messages travel."""
    return os.environ["BRIDGE_BROKER_URL"]


def store_url() -> str:
    """Where streams and channels are."""
    return os.environ["BRIDGE_REDIS_URL"]


def pack(event: Any) -> dict[str, Any]:
    """A domain event as a message of plain values."""
    return {"type": type(event).__name__, "data": msgspec.to_builtins(event)}


def unpack(raw: dict[str, Any]) -> Any:
    """The domain event of a message."""
    return msgspec.convert(raw["data"], _MAPPINGS[raw["type"]].domain_event_class)


def write(pipe: Any, domain_event: Any) -> None:
    """Queue the two commands of one event into a pipeline, synchronous or not."""
    event = transform(domain_event, _MAPPINGS[type(domain_event).__name__])
    if event is None:
        return
    payload = encode_payload(event.data).decode()
    event_id, event_type, occurred_at = str(event.event_id), event.event_type.value, event.occurred_at.isoformat()
    user_id = str(event.user_id)
    fields = {
        "event_id": event_id,
        "event_type": event_type,
        "user_id": user_id,
        "data": payload,
        "occurred_at": occurred_at,
    }
    pipe.xadd(KEYS.stream(User(event.user_id)), fields, maxlen=MAXLEN, approximate=True)
    pipe.publish(
        KEYS.channel(User(event.user_id)),
        f'{{"event_id":"{event_id}","event_type":"{event_type}","user_id":"{user_id}","data":{payload},'
        f'"occurred_at":"{occurred_at}"}}',
    )


class Publisher:
    """Does the job synchronously; connects at first use, so that each forked process has its own connection."""

    def __init__(self) -> None:
        self._client = redis.Redis.from_url(store_url())

    def publish(self, *messages: dict[str, Any]) -> None:
        """One pipeline for all messages."""
        with self._client.pipeline(transaction=False) as pipe:
            for raw in messages:
                write(pipe, unpack(raw))
            pipe.execute()


class AsyncPublisher:
    """Does the job with asyncio."""

    def __init__(self) -> None:
        self._client = redis.asyncio.Redis.from_url(store_url())

    async def publish(self, *messages: dict[str, Any]) -> None:
        """One pipeline for all messages."""
        await self.publish_events(*map(unpack, messages))

    async def publish_events(self, *events: Any) -> None:
        """One pipeline for events that have not travelled."""
        async with self._client.pipeline(transaction=False) as pipe:
            for event in events:
                write(pipe, event)
            await pipe.execute()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
