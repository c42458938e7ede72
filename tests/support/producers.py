"""Numbered events for producers, and which of them are on the queue."""

from uuid import uuid4

import pytest
import redis

from bridge.catalogs.finance import FileImportSucceeded
from bridge.producer import default
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


def without_emitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process make no emitter, by a setting that is wrong."""
    monkeypatch.setenv("BRIDGE_BROKER_URL", "http://wrong")
    monkeypatch.setattr(default, "_emitter", None)
    monkeypatch.setattr(default, "_broken", "")
