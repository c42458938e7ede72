"""Outboxes in tests: a transaction's events are shown as it ends, and no row is written, for SQLAlchemy and Django."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from bridge.contrib.sqlalchemy import emit
from bridge.testing import Emitted, MemoryBridge, capture, memory_bridge
from tests.support.orders import OrderPaid, registry


@pytest.fixture
def session() -> Iterator[Session]:
    """Of a database without the outbox' table, which a row could not be written to."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with Session(engine) as found:
        yield found
    engine.dispose()


@pytest.fixture
def emitted() -> Iterator[Emitted]:
    with capture(registry) as found:
        yield found


def pay(session: Session | AsyncSession, number: str) -> None:
    assert emit(OrderPaid(user_id=1, number=number), session=session)


def numbers(emitted: Emitted) -> list[str]:
    return [event.number for event in emitted.of(OrderPaid)]


def test_what_is_committed_is_seen_and_what_is_rolled_back_is_not(session: Session, emitted: Emitted) -> None:
    pay(session, "a")
    session.commit()
    pay(session, "b")
    session.rollback()
    pay(session, "c")
    session.close()
    assert numbers(emitted) == ["a"]
    with session.begin():
        pay(session, "d")
    with suppress(LookupError), session.begin():
        pay(session, "e")
        raise LookupError
    assert numbers(emitted) == ["a", "d"]


def test_a_savepoint_takes_its_own_back_and_the_transaction_all(session: Session, emitted: Emitted) -> None:
    with session.begin():
        pay(session, "a")
        with session.begin_nested():
            pay(session, "b")
        with suppress(LookupError), session.begin_nested():
            pay(session, "c")
            with session.begin_nested():
                pay(session, "d")
            raise LookupError
        pay(session, "e")
    assert numbers(emitted) == ["a", "b", "e"]
    with session.begin_nested():
        pay(session, "f")
    session.rollback()
    assert numbers(emitted) == ["a", "b", "e"]


def test_a_test_that_takes_everything_back_at_its_end_sees_what_was_committed(emitted: Emitted) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection, connection.begin() as whole:
        session = Session(connection, join_transaction_mode="create_savepoint")
        pay(session, "a")
        session.commit()
        pay(session, "b")
        session.rollback()
        session.close()
        whole.rollback()
    engine.dispose()
    assert numbers(emitted) == ["a"]


def test_an_awaited_session_is_the_same(emitted: Emitted) -> None:
    async def work() -> None:
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        async with AsyncSession(engine) as session:
            pay(session, "a")
            await session.commit()
            pay(session, "b")
            await session.rollback()
        await engine.dispose()

    asyncio.run(work())
    assert numbers(emitted) == ["a"]


@pytest.fixture
def running() -> Iterator[MemoryBridge]:
    with memory_bridge(registry) as found:
        yield found


def test_a_bridge_in_memory_sends_what_was_not_rolled_back(session: Session, running: MemoryBridge) -> None:
    stream = running.connect(1)
    pay(session, "a")
    session.rollback()
    with session.begin():
        pay(session, "b")
    assert stream.next().payload == {"number": "b"}
    stream.nothing()
    running.all_published()
