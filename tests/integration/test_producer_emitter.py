"""The emitter against real, refused, frozen and returning brokers: never in the way, and nothing lost."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, EventRefusedError, Settings
from bridge.catalogs.finance import REGISTRY, AccountBalanceUpdated, FileImportFailed, FileImportSucceeded
from bridge.model.events import DomainEvent
from tests.support.items import envelopes_of
from tests.support.waiting import WAIT_S

QUEUE = "bridge.import"


def event(number: int = 0) -> FileImportSucceeded:
    return FileImportSucceeded(user_id=uuid4(), file_name="statement.csv", transaction_count=number)


def queued(client: redis.Redis, queue: str = QUEUE) -> list[dict[str, object]]:
    """The envelopes on a queue, oldest first."""
    envelopes: list[dict[str, object]] = []
    for item in reversed(client.lrange(queue, 0, -1)):
        envelopes += envelopes_of(item)
    return envelopes


@pytest.fixture
def emitter(settings: Settings) -> Iterator[Emitter]:
    emitter = Emitter(settings, REGISTRY)
    yield emitter
    emitter.close(0)


def test_events_arrive_in_order_as_cloudevents(emitter: Emitter, redis_client: redis.Redis) -> None:
    events = [event(number) for number in range(1200)]
    assert emitter.emit_many(events) == 1200
    assert emitter.flush(WAIT_S)
    envelopes = queued(redis_client)
    assert [envelope["data"]["transaction_count"] for envelope in envelopes] == list(range(1200))
    first = envelopes[0]
    assert (first["specversion"], first["type"], first["source"]) == ("1.0", "FileImportSucceeded", "bridge")
    assert first["id"] == str(events[0].event_id)
    assert redis_client.llen(QUEUE) == 12  # 100 events a message
    assert emitter.counts["delivered"] == emitter.counts["accepted"] == 1200


def test_a_message_never_exceeds_its_bound_in_bytes(redis_url: str, redis_client: redis.Redis) -> None:
    emitter = Emitter(Settings(broker_url=redis_url, event_max_bytes=4096, message_max_bytes=8192), REGISTRY)
    emitter.emit_many([FileImportFailed(user_id=uuid4(), file_name="x", reason="r" * 3000) for _ in range(5)])
    assert emitter.flush(WAIT_S)
    assert redis_client.llen(QUEUE) == 3
    emitter.close()


def test_an_unmapped_event_goes_nowhere(emitter: Emitter, redis_client: redis.Redis, caplog) -> None:
    assert emitter.emit(DomainEvent(user_id=uuid4())) is False
    assert emitter.emit("no event at all") is False
    assert emitter.flush(0.1)
    assert not redis_client.keys()
    assert emitter.counts["unmapped"] == 2


class _Subclass(FileImportSucceeded):
    pass


def test_an_event_without_a_mapping_is_told_of_once_a_class(emitter: Emitter, caplog) -> None:
    unmapped = [DomainEvent(user_id=uuid4()), _Subclass(user_id=uuid4(), file_name="x", transaction_count=1), 5, None]
    for event in unmapped * 3:
        assert emitter.emit(event) is False
    assert emitter.emit_many(unmapped) == 0
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[1] for line in lines] == [
        "bridge.model.events.types.DomainEvent",
        f"{__name__}._Subclass",
        "builtins.int",
        "builtins.NoneType",
    ]
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert all("BRIDGE_REGISTRY" in line and "bridge.catalogs.finance.catalog:REGISTRY" in line for line in lines)
    assert emitter.counts["unmapped"] == 16


def test_classes_without_a_mapping_are_bounded_in_number(emitter: Emitter, caplog) -> None:
    for number in range(100):
        assert emitter.emit(type(f"Made{number}", (), {})()) is False
    assert len(caplog.records) == 20
    assert emitter.counts["unmapped"] == 100


def test_strict_mode_refuses_an_event_without_a_mapping(settings) -> None:
    strict = Emitter(settings, REGISTRY, strict=True)
    for unmapped in (DomainEvent(user_id=uuid4()), 5):
        with pytest.raises(EventRefusedError, match="has no mapping"):
            strict.emit(unmapped)
    with pytest.raises(EventRefusedError, match="has no mapping"):
        strict.emit_many([event(), 5])
    assert strict.counts["accepted"] == 0
    strict.close()


@pytest.mark.parametrize("earlier", [0, 1], ids=["first event", "later event"])
@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"user_id": 5}, "user_id"),
        ({"user_id": "not a UUID"}, "user_id"),
        ({"file_name": None}, "file_name"),
        ({"file_name": 5}, "file_name"),
        ({"file_name": ["x"]}, "file_name"),
        ({"transaction_count": "5"}, "transaction_count"),
        ({"transaction_count": True}, "transaction_count"),
        ({"transaction_count": 1.5}, "transaction_count"),
        ({"transaction_count": None}, "transaction_count"),
    ],
)
def test_a_value_that_the_worker_could_not_read_is_refused(emitter, settings, caplog, earlier, bad, field) -> None:
    made = {"user_id": uuid4(), "file_name": "x", "transaction_count": 1, **bad}
    assert emitter.emit_many(event() for _ in range(earlier)) == earlier
    assert emitter.emit(FileImportSucceeded(**made)) is False
    assert emitter.emit_many([FileImportSucceeded(**made)]) == 0
    assert emitter.counts["refused"] == 2
    assert field in caplog.text
    strict = Emitter(settings, REGISTRY, strict=True)
    with pytest.raises(EventRefusedError, match=field):
        strict.emit(FileImportSucceeded(**made))


@pytest.mark.parametrize(
    "odd",
    [{"user_id": None}, {"user_id": "0f8fad5b-d9cb-469f-a165-70867728950e"}, {"transaction_count": 2**70}],
)
def test_a_value_of_another_type_that_the_worker_can_read_is_accepted(emitter, redis_client, odd) -> None:
    assert emitter.emit(event())
    assert emitter.emit(FileImportSucceeded(**{"user_id": uuid4(), "file_name": "x", "transaction_count": 1, **odd}))
    assert emitter.flush()
    assert len(queued(redis_client)) == 2


@pytest.mark.parametrize("earlier", [0, 1], ids=["first event", "later event"])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (FileImportFailed(user_id=uuid4(), file_name="x", reason="y" * 70_000), "BRIDGE_EVENT_MAX_BYTES"),
        (FileImportFailed(user_id=uuid4(), file_name="x", reason="\ud800"), "lone surrogate"),
        (FileImportFailed(user_id=uuid4(), file_name="x", reason=float("nan")), "not a finite number"),  # type: ignore[arg-type]
        (FileImportFailed(user_id=uuid4(), file_name="x", reason=object()), "which JSON cannot express"),  # type: ignore[arg-type]
        (FileImportFailed(event_id="one", user_id=uuid4(), file_name="x", reason="y"), "must be a UUID"),  # type: ignore[arg-type]
        (FileImportFailed(occurred_at=None, user_id=uuid4(), file_name="x", reason="y"), "timezone"),  # type: ignore[arg-type]
    ],
)
def test_an_event_that_cannot_travel_is_refused_with_a_reason(emitter, settings, caplog, earlier, bad, reason) -> None:
    assert emitter.emit_many(event() for _ in range(earlier)) == earlier
    assert emitter.emit(bad) is False
    assert reason in caplog.text
    assert emitter.counts["refused"] == 1
    strict = Emitter(settings, REGISTRY, strict=True)
    with pytest.raises(EventRefusedError, match=reason):
        strict.emit(bad)


@pytest.mark.parametrize("earlier", [0, 1], ids=["first event", "later event"])
def test_an_event_cannot_change_after_it_was_emitted(emitter: Emitter, redis_client: redis.Redis, earlier: int) -> None:
    emitter.emit_many(event() for _ in range(earlier))
    balance = AccountBalanceUpdated(
        user_id=uuid4(),
        account_id=uuid4(),
        previous_balance=Decimal("1.10"),
        new_balance=Decimal("2.20"),
        currency="EUR",
    )
    emitter.emit(balance)
    object.__setattr__(balance, "currency", "XXX")
    assert emitter.flush(WAIT_S)
    assert queued(redis_client, "bridge.portfolio")[0]["data"]["currency"] == "EUR"


def test_threads_and_asyncio_share_an_emitter(emitter: Emitter, redis_client: redis.Redis) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: emitter.emit_many([event() for _ in range(100)]), range(40))) == 4000

    async def emit_from_loop() -> None:
        await asyncio.gather(*(asyncio.to_thread(emitter.emit, event()) for _ in range(10)))
        emitter.emit(event())

    asyncio.run(emit_from_loop())
    assert emitter.flush(WAIT_S)
    assert len({envelope["id"] for envelope in queued(redis_client)}) == 4011


def test_strict_mode_returns_when_the_broker_has_the_event(settings, redis_client) -> None:
    emitter = Emitter(settings, REGISTRY, strict=True)
    assert emitter.emit(event())
    assert redis_client.llen(QUEUE) == 1
    emitter.close()
