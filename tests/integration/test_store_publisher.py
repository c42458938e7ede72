"""RedisSSEPublisher: the right address, the truth about what happened, and never an exception."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import pytest
import redis
import redis.asyncio

from bridge import User
from bridge.local.redis_server import EmbeddedServer
from bridge.model.events import SSEEvent, SSEEventType
from bridge.model.publishing import ReceiptStatus
from bridge.redis_adapter import RedisSSEPublisher, SSEPublisherProtocol, connect_async
from bridge.settings import Settings
from tests.support import keys
from tests.support.naming import shown

USER, OTHER = UUID("01890a5d-ac96-774b-bcce-b302099a8001"), UUID("01890a5d-ac96-774b-bcce-b302099a8002")


def an_event(**data: Any) -> SSEEvent:
    return SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=USER, data=data)


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[RedisSSEPublisher]:
    async with connect_async(settings) as client:
        yield RedisSSEPublisher(client, settings)


def stream_of(client: redis.Redis, user_id: UUID | None) -> list[dict[str, str]]:
    stream = keys.BROADCAST_STREAM if user_id is None else keys.stream(User(user_id))
    return [fields for _, fields in cast("list[tuple[str, dict[str, str]]]", client.xrange(stream))]


async def test_publish_goes_to_the_events_own_user(publisher: RedisSSEPublisher, redis_client: redis.Redis) -> None:
    protocol: SSEPublisherProtocol = publisher
    receipt = await protocol.publish(an_event())
    assert receipt.ok
    assert [len(stream_of(redis_client, user)) for user in (USER, OTHER, None)] == [1, 0, 0]


async def test_publish_to_user_goes_there_and_keeps_the_events_user(
    publisher: RedisSSEPublisher, redis_client: redis.Redis
) -> None:
    assert (await publisher.publish_to_user(OTHER, an_event())).ok
    assert stream_of(redis_client, USER) == []
    assert [fields["user_id"] for fields in stream_of(redis_client, OTHER)] == [str(USER)]


async def test_broadcast_goes_to_everybody_and_keeps_the_events_user(
    publisher: RedisSSEPublisher, redis_client: redis.Redis
) -> None:
    assert (await publisher.broadcast(an_event())).ok
    assert [fields["user_id"] for fields in stream_of(redis_client, None)] == [str(USER)]
    assert stream_of(redis_client, USER) == []


async def test_publishing_again_is_a_duplicate_at_the_same_position(publisher: RedisSSEPublisher) -> None:
    event = an_event()
    first, again = await publisher.publish(event), await publisher.publish(event)
    assert (again.status, again.position) == (ReceiptStatus.DUPLICATE, first.position)


async def test_events_of_many_tasks_are_all_published_once(
    publisher: RedisSSEPublisher, redis_client: redis.Redis
) -> None:
    events = [an_event(number=index) for index in range(100)]
    receipts = await asyncio.gather(*(publisher.publish(event) for event in events * 2))
    assert [receipt.status for receipt in receipts].count(ReceiptStatus.PUBLISHED) == 100
    assert len(stream_of(redis_client, USER)) == 100


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"a": float("nan")}, "payload.a is not a finite number"),
        ({"a": b"hunter2"}, "payload.a is of type bytes"),
        ({"a": "x" * 70_000}, "its payload has 70008 bytes; at most 65536 are allowed"),
    ],
    ids=["nan", "bytes", "large"],
)
async def test_a_payload_that_cannot_travel_is_a_failure_that_says_why(
    publisher: RedisSSEPublisher, redis_client: redis.Redis, data: dict[str, Any], reason: str
) -> None:
    receipt = await publisher.publish(an_event(**data))
    assert receipt.status is ReceiptStatus.FAILED
    assert not receipt.ok
    assert (receipt.error or "").startswith(reason)
    assert redis_client.keys() == []


@pytest.mark.parametrize("user_id", [None, str(USER), "}:x", 5], ids=shown)
async def test_a_user_id_that_is_no_uuid_names_no_key(
    publisher: RedisSSEPublisher, redis_client: redis.Redis, user_id: Any
) -> None:
    receipt = await publisher.publish_to_user(user_id, an_event())
    assert receipt.status is ReceiptStatus.FAILED
    assert "user_id must be a UUID" in (receipt.error or "")
    assert redis_client.keys() == []


async def test_a_stream_that_is_something_else_refuses(publisher: RedisSSEPublisher, redis_client: redis.Redis) -> None:
    redis_client.set(keys.stream(User(USER)), "x")
    receipt = await publisher.publish(an_event())
    assert receipt.status is ReceiptStatus.REFUSED
    assert "WRONGTYPE" in (receipt.error or "")


async def test_a_script_that_the_server_forgot_is_loaded_again(
    publisher: RedisSSEPublisher, redis_client: redis.Redis
) -> None:
    assert (await publisher.publish(an_event())).ok
    redis_client.script_flush()
    assert (await publisher.publish(an_event())).ok


async def test_a_dead_server_is_a_failure_in_the_log_and_the_next_one_works(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedServer() as server:
        settings = Settings(broker_url=server.url)
        async with connect_async(settings) as client:
            publisher, event = RedisSSEPublisher(client, settings), an_event(secret="hunter2")
            assert (await publisher.publish(an_event())).ok
            server.kill()
            with caplog.at_level(logging.ERROR):
                receipts = [
                    await publisher.publish(event),
                    await publisher.publish_to_user(OTHER, event),
                    await publisher.broadcast(event),
                ]
            server.start()
            assert (await publisher.publish(event)).status is ReceiptStatus.PUBLISHED
    assert {receipt.status for receipt in receipts} == {ReceiptStatus.FAILED}
    assert all("Redis did not take the command" in (receipt.error or "") for receipt in receipts)
    assert [record.message.split()[0] for record in caplog.records] == ["bridge.event.not_published"] * 3
    assert str(event.event_id) in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_fault_of_the_client_itself_is_a_failure_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect_async(settings) as client:
        publisher = RedisSSEPublisher(client, settings)

        async def broken(*args: object, **options: object) -> None:
            raise RuntimeError("Event loop is closed")

        monkeypatch.setattr(client, "execute_command", broken)
        receipt = await publisher.publish(an_event())
    assert receipt.status is ReceiptStatus.FAILED
    assert "RuntimeError: Event loop is closed" in (receipt.error or "")


async def test_a_cancelled_publish_stays_cancelled(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect_async(settings) as client:

        async def endless(*args: object, **options: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(client, "execute_command", endless)
        task = asyncio.ensure_future(RedisSSEPublisher(client, settings).publish(an_event()))
        await asyncio.wait([task], timeout=0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
