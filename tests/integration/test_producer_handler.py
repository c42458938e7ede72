"""The in-process handler of the seeds, with the real publisher behind it."""

import json
import logging
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import redis
import redis.asyncio

from bridge import DomainEvent, RedisSSEPublisher, Settings, SSEEvent, SSEEventHandler
from bridge.catalogs.finance import DOMAIN_TO_SSE_MAPPING, AccountSyncSucceeded, FileImportFailed
from bridge.local.redis_server import free_port
from bridge.redis_adapter import connect_async
from tests.support.identities import Type, by_name, by_number, names, numbers
from tests.support.moody_catalog import Announced, Moody, registry


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[RedisSSEPublisher]:
    client = connect_async(settings)
    yield RedisSSEPublisher(client, settings)
    await client.aclose()


async def test_a_domain_event_is_published_under_its_own_id(publisher, redis_client: redis.Redis) -> None:
    event = AccountSyncSucceeded(user_id=uuid4(), connection_id=uuid4(), provider_slug="bank", account_count=3)
    handler = SSEEventHandler(publisher=publisher)
    await handler.handle(event)
    await handler.handle(event)
    ((_, fields),) = redis_client.xrange(f"sse:stream:user:{{{event.user_id}}}")
    assert fields["event_id"] == str(event.event_id)
    assert fields["event_type"] == "sync.accounts.completed"


async def test_an_unmapped_event_and_an_event_for_nobody_are_ignored(publisher, redis_client, caplog) -> None:
    handler = SSEEventHandler(publisher=publisher)
    await handler.handle(DomainEvent(user_id=uuid4()))
    await handler.handle(FileImportFailed(user_id=None, file_name="x", reason="y"))
    assert not redis_client.keys()
    assert not caplog.records


async def test_an_extractor_that_fails_disturbs_nobody(publisher, redis_client, caplog, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MOODY_DIR", str(tmp_path))
    handler = SSEEventHandler(publisher, registry=registry)
    await handler.handle(Moody(user_id=uuid4(), mode="hostile"))
    await handler.handle(Moody(user_id=uuid4(), mode="nan"))
    assert caplog.text.count("not_published") >= 2
    await handler.handle(Announced(user_id=None, text="hello"))
    assert redis_client.xlen("sse:stream:broadcast") == 1


async def test_nothing_claims_published_when_redis_is_away(caplog) -> None:
    settings = Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0")
    client = connect_async(settings)
    handler = SSEEventHandler(RedisSSEPublisher(client, settings))
    with caplog.at_level(logging.DEBUG, logger="bridge"):
        await handler.handle(
            AccountSyncSucceeded(user_id=uuid4(), connection_id=uuid4(), provider_slug="b", account_count=3)
        )
    await client.aclose()
    assert "status=failed" in caplog.text
    assert "status=published" not in caplog.text


async def test_a_publisher_of_the_teams_own_needs_no_receipt(caplog) -> None:
    sent: list[SSEEvent] = []

    class Own:
        async def publish(self, event: SSEEvent) -> None:
            sent.append(event)

        async def publish_to_user(self, user_id: UUID, event: SSEEvent) -> None:
            raise AssertionError

        async def broadcast(self, event: SSEEvent) -> None:
            raise AssertionError

    await SSEEventHandler(Own()).handle(FileImportFailed(user_id=uuid4(), file_name="x", reason="y"))  # type: ignore[arg-type]
    assert [event.event_type.value for event in sent] == ["import.failed"]


def test_it_says_which_classes_it_publishes(settings: Settings) -> None:
    handler = SSEEventHandler(RedisSSEPublisher(connect_async(settings), settings))
    assert handler.has_mapping_for(AccountSyncSucceeded)
    assert not handler.has_mapping_for(DomainEvent)
    assert handler.get_mapped_event_types() == [row.domain_event_class for row in DOMAIN_TO_SSE_MAPPING]


@pytest.mark.parametrize(
    ("shop", "classes", "user", "wrong"),
    [(numbers, by_number, 1, "7"), (names, by_name, 'a"b', "a b")],
    ids=["int", "str"],
)
async def test_users_of_other_kinds_are_told_in_process_too(
    shop, classes, user, wrong, settings: Settings, redis_client: redis.Redis, caplog
) -> None:
    async with connect_async(settings) as client:
        publisher = RedisSSEPublisher(client, settings, users=shop.users)
        await SSEEventHandler(publisher, registry=shop).handle(classes["OrderPaid"](customer=user, number=1))
        by_hand = shop.sse_event(Type.PAID, user, {"number": 2})
        assert (await publisher.publish(by_hand)).ok
        assert (await publisher.publish_to_user(user, shop.sse_event(Type.PAID, user, {"number": 3}))).ok
        refused = await publisher.publish_to_user(wrong, by_hand)
        await SSEEventHandler(publisher, registry=shop).handle(classes["OrderPaid"](customer=object()))
    entries = [fields for _, fields in redis_client.xrange(f"sse:stream:user:{{{user}}}")]
    assert [json.loads(fields["data"])["number"] for fields in entries] == [1, 2, 3]
    assert {fields["user_id"] for fields in entries} == {str(user)}
    assert not refused.ok
    assert "user_id must" in str(refused.error)
    assert caplog.text.count("not_published") == 2
    assert len(redis_client.keys("sse:stream:user:*")) == 1
