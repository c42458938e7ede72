"""Tickets: kept by a digest for a short while, and taken once."""

from collections.abc import Sequence
from typing import cast

import redis
import redis.asyncio

from bridge.model.bounds import TICKETS_PER_USER_MAX
from bridge.model.withdrawal import TICKET_S
from bridge.ports import Issued
from bridge.redis_adapter.client import keyspace_of, store_errors
from bridge.redis_adapter.script import Call, OfStore, script


class TicketWriter(OfStore):
    """The writing half of ``bridge.ports.Tickets``, for threads."""

    def issue(self, digest: str, user: str, record: bytes, *, age_ms: int, targets: Sequence[str]) -> Issued:
        """One script call."""
        call = _call(self._client, digest, user, record, age_ms, targets)
        with store_errors():
            return _issued(script("ticket").send(self._client, call))


class Tickets:
    """``bridge.ports.Tickets`` on Redis. The asyncio client stays its owner's to close."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def issue(self, digest: str, user: str, record: bytes, *, age_ms: int, targets: Sequence[str]) -> Issued:
        """One script call."""
        call = _call(self._client, digest, user, record, age_ms, targets)
        with store_errors():
            return _issued(await script("ticket").send_async(self._client, call))

    async def take(self, digest: str) -> bytes | None:
        """One GETDEL."""
        with store_errors():
            found = await self._client.getdel(keyspace_of(self._client).ticket(digest))
        return cast("bytes | None", found)


def _call(
    client: "redis.Redis | redis.asyncio.Redis",
    digest: str,
    user: str,
    record: bytes,
    age_ms: int,
    targets: Sequence[str],
) -> Call:
    keys = keyspace_of(client)
    own = script("ticket").keys(keys, ticket=keys.ticket(digest), issued=keys.tickets_issued(user))
    return Call(own, [record, TICKET_S, TICKETS_PER_USER_MAX, age_ms, *targets])


def _issued(answer: list[int]) -> Issued:
    kept, withdrawn_ms = answer
    return Issued(kept=bool(kept), withdrawn_ms=None if withdrawn_ms < 0 else withdrawn_ms)
