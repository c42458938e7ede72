"""Streams into which a stranger wrote, up to the last position there is: no other event is held up or lost."""

import time
from collections.abc import Iterator
from uuid import UUID

import pytest
import redis

from bridge.model.events import SSEEvent, SSEEventType, encode_payload
from bridge.model.position import Position
from bridge.model.publishing import AddressedEvent, ReceiptStatus
from bridge.model.registry import User
from bridge.redis_adapter import History, connect, connect_async
from bridge.redis_adapter.event_log import PAGE
from bridge.settings import Settings
from tests.support import keys
from tests.support.addressed_events import direct
from tests.support.settling import Settler

USER, OTHER = UUID("01890a5d-ac96-774b-bcce-b302099a8001"), UUID("01890a5d-ac96-774b-bcce-b302099a8002")
LAST = 2**64 - 1
NO_EVENT: dict[bytes | str | int | float, bytes | str | int | float] = {"a": "b"}


def several(number: int, user_id: UUID | None = USER) -> list[AddressedEvent]:
    events = [SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=user_id or USER, data={}) for _ in range(number)]
    return [AddressedEvent(event=event, payload=encode_payload({}), user_id=user_id) for event in events]


@pytest.fixture
def settler(settings: Settings) -> Iterator[Settler]:
    with connect(settings) as client:
        yield Settler(client, settings)


@pytest.mark.parametrize("top", [f"{LAST}-{LAST}", f"{LAST}-5", f"{2**53 + 1}-0"])
def test_a_stream_without_a_position_left_refuses_only_its_own_events(
    settler: Settler, redis_client: redis.Redis, top: str
) -> None:
    redis_client.xadd(keys.stream(User(OTHER)), NO_EVENT, id=top)
    batch = [*several(2), *several(1, OTHER), *several(2), *several(1, None)]
    receipts = settler.settle(direct(batch))
    assert [number for number, receipt in enumerate(receipts) if receipt.status is ReceiptStatus.REFUSED] == [2]
    positions = [Position(receipt.position or "") for receipt in receipts if receipt.ok]
    assert positions == sorted(set(positions))
    assert int(str(positions[-1]).partition("-")[0]) < 2**42, "the others' positions stay where the clock is"
    redis_client.delete(keys.stream(User(OTHER)))
    assert settler.settle(direct([batch[2]]))[0].status is ReceiptStatus.PUBLISHED


def test_a_large_sequence_is_moved_past(settler: Settler, redis_client: redis.Redis) -> None:
    ahead_ms = int(time.time() * 1000) + 60_000
    redis_client.xadd(keys.stream(User(USER)), NO_EVENT, id=f"{ahead_ms}-{LAST - 1}")
    receipts = settler.settle(direct(several(3)))
    assert [receipt.position for receipt in receipts] == [f"{ahead_ms + 1}-{n}" for n in range(3)]


@pytest.mark.parametrize("number", [1, 3 * PAGE])
async def test_entries_ahead_of_everything_hide_no_event_that_follows(
    settings: Settings, settler: Settler, redis_client: redis.Redis, number: int
) -> None:
    settler.settle(direct(several(3)))
    for n in range(number):
        redis_client.xadd(keys.stream(User(USER)), NO_EVENT, id=f"{LAST}-{n}")
    async with connect_async(settings) as client:
        history = History(client, settings)
        page = await history.read([User(USER)], Position("1-0"))
        while not page.last:
            page = await history.read([User(USER)], page.horizon)
        settler.settle(direct(broadcasts := several(2, None)))
        page = await history.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)
    assert page.complete
    assert [event.event_id for event in page.events] == [str(one.event.event_id) for one in broadcasts]


async def test_a_strangers_entry_at_the_position_of_an_event_hides_nothing(
    settings: Settings, settler: Settler, redis_client: redis.Redis
) -> None:
    (first, event) = several(2)
    settler.settle(direct([first]))
    (receipt,) = settler.settle(direct([event]))
    fields = {"event_id": str(OTHER), "event_type": "[[[[", "data": "{}", "occurred_at": "{}"}
    redis_client.xadd(keys.BROADCAST_STREAM, fields, id=receipt.position or "")  # type: ignore[arg-type]
    async with connect_async(settings) as client:
        page = await History(client, settings).read([User(USER)], Position("1-0"))
    assert {str(first.event.event_id), str(event.event.event_id)} <= {found.event_id for found in page.events}
