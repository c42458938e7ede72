"""Settling for users whose ids are no UUIDs: each gets what is theirs, under exactly that id, as readable JSON."""

import json
from uuid import UUID

import pytest
import redis

from bridge import SSEEvent, SSEEventType
from bridge.model.publishing import DIRECT, AddressedEvent, Delivery
from bridge.redis_adapter import Settler
from bridge.settings import Settings
from tests.support.keys import UNPREFIXED
from tests.support.waiting import WAIT_S

IDS = [0, 1, -1, 2**53 + 1, 2**63 - 1, "0", "1", 'a"b', "a\\b", "a/b", "%s", "%d%%", "ünï-cödé", "&<>'", UUID(int=0)]


@pytest.mark.parametrize("user", IDS, ids=map(repr, IDS))
def test_an_event_reaches_its_user_alone_and_names_it_exactly(client: redis.Redis, settings: Settings, user) -> None:
    event = SSEEvent.for_user(user, event_type=SSEEventType.IMPORT_STARTED, data={})
    addressed = AddressedEvent(event=event, payload=b"{}", user_id=user)
    with client.pubsub() as subscriber:
        subscriber.psubscribe("*")
        assert subscriber.get_message(timeout=WAIT_S)
        delivery = Delivery(event_type="import.started", events=[addressed], message_id=DIRECT)
        assert Settler(client, settings).prepare([delivery]).unpublished() == {}
        message = subscriber.get_message(timeout=WAIT_S)
    assert message is not None
    assert message["channel"].decode() == f"sse:user:{{{user}}}"
    told = json.loads(message["data"])
    assert (told["event_id"], told["user_id"]) == (str(event.event_id), str(user))
    ((_, fields),) = client.xrange(f"sse:stream:user:{{{user}}}")
    assert fields[b"user_id"].decode() == str(user)
    assert client.exists(f"sse:seen:{{{user}}}:{event.event_id}")
    assert not client.exists(UNPREFIXED.BROADCAST_STREAM)
