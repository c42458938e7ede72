"""Numbered events for producers, and which of them are on the queue."""

from uuid import uuid4

import redis

from bridge.catalogs.finance import FileImportSucceeded
from tests.support.items import envelopes_of

QUEUE = "bridge.import"


def event(number: int = 0) -> FileImportSucceeded:
    """A numbered event of the built-in catalog."""
    return FileImportSucceeded(user_id=uuid4(), file_name="statement.csv", transaction_count=number)


def numbers(client: redis.Redis) -> list[int]:
    """Numbers of the events on the queue, oldest first."""
    return [
        envelope["data"]["transaction_count"]
        for item in reversed(client.lrange(QUEUE, 0, -1))
        for envelope in envelopes_of(item)
    ]
