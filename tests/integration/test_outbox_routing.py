"""Sessions that choose their databases: an event goes where the business rows go, or there is an error in time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.ext.horizontal_shard import ShardedSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bridge import Emitter, Settings
from bridge.catalogs.finance import REGISTRY
from bridge.contrib.sqlalchemy import emit
from bridge.contrib.sqlalchemy.table import OutboxEvent
from bridge.model.errors import OutboxError
from tests.support.databases import Database
from tests.support.outbox import Outbox, imported
from tests.support.producers import numbers
from tests.support.waiting import WAIT_S


class Base(DeclarativeBase):
    """Of what an application stores."""


class Order(Base):
    __tablename__ = "orders"
    number: Mapped[int] = mapped_column(primary_key=True)


class Customer(Base):
    __tablename__ = "customers"
    number: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def emitter(settings: Settings) -> Iterator[Emitter]:
    emitter = Emitter(settings, REGISTRY)
    yield emitter
    emitter.close()


@pytest.fixture
def servers(make_database: Callable[[str], Database]) -> Iterator[tuple[Outbox, Outbox]]:
    """Two databases with the same tables."""
    made = Outbox(make_database("sqlite")), Outbox(make_database("sqlite"))
    for one in made:
        Base.metadata.create_all(one.engine)
    yield made
    for one in made:
        one.close()


def replicated(primary: Engine, replica: Engine) -> type[Session]:
    """As SQLAlchemy's manual has it: what is flushed goes to the primary, and the rest to a replica."""

    class Replicated(Session):
        def get_bind(self, mapper: Any = None, clause: Any = None, **_: Any) -> Engine:
            assert mapper is None or isinstance(mapper.class_, type)
            return primary if self._flushing else replica

    return Replicated


def parted(orders: Engine, rest: Engine) -> type[Session]:
    """Each class has a database."""

    class Parted(Session):
        def get_bind(self, mapper: Any = None, **_: Any) -> Engine:
            return orders if mapper is not None and issubclass(mapper.class_, Order) else rest

    return Parted


def test_a_session_that_reads_from_replicas_writes_its_event_to_the_primary(
    servers: tuple[Outbox, Outbox], emitter: Emitter, redis_client: redis.Redis
) -> None:
    primary, replica = servers
    with replicated(primary.engine, replica.engine)() as session:
        session.execute(text("SELECT 1"))
        session.add(Order(number=1))
        assert emit(imported(1), session=session, emitter=emitter)
        session.add(Order(number=2))
        session.commit()
        emit(imported(2), session=session, emitter=emitter)
        session.rollback()
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == [1]
    assert replica.column("id") == []


async def test_an_async_session_that_reads_from_replicas_does_so_too(
    servers: tuple[Outbox, Outbox], emitter: Emitter, redis_client: redis.Redis
) -> None:
    primary, replica = (create_async_engine(one.database.async_url) for one in servers)
    routed = replicated(primary.sync_engine, replica.sync_engine)
    async with AsyncSession(sync_session_class=routed) as session:
        session.add(Order(number=1))
        assert emit(imported(1), session=session, emitter=emitter)
        await session.commit()
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == [1]
    await primary.dispose()
    await replica.dispose()


def test_an_event_that_would_be_committed_apart_from_its_rows_fails_the_commit(
    servers: tuple[Outbox, Outbox], emitter: Emitter, redis_client: redis.Redis
) -> None:
    first, second = servers
    routed = parted(first.engine, second.engine)
    for flushed in (False, True):
        with routed() as session:
            session.add(Order(number=1))
            if flushed:
                session.flush()
            emit(imported(1), session=session, emitter=emitter)
            with pytest.raises(
                OutboxError, match=r"commits on its own: let its get_bind\(\) return the same for .*Event"
            ):
                session.commit()
    with routed() as session:
        session.add(Customer(number=2))
        emit(imported(2), session=session, emitter=emitter)
        session.commit()
        session.add(Order(number=1))  # without an event
        session.commit()
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == [2]


def test_a_session_that_asks_for_more_is_left_alone(servers: tuple[Outbox, Outbox]) -> None:
    first, second = servers
    shards = {"odd": first.engine, "even": second.engine}

    def chosen(_: Any, instance: Any, **__: Any) -> str:
        return "odd" if instance.number % 2 else "even"

    def any_of(*_: Any, **__: Any) -> list[str]:
        return [*shards]

    with ShardedSession(chosen, identity_chooser=any_of, execute_chooser=any_of, shards=shards) as session:
        session.add_all(Order(number=number) for number in range(3))
        session.commit()
        assert len(session.scalars(select(Order)).all()) == 3


def test_a_session_with_several_binds_names_the_outbox_or_is_refused_before_anything_is_written(
    servers: tuple[Outbox, Outbox], emitter: Emitter, redis_client: redis.Redis
) -> None:
    first, second = servers
    binds: dict[Any, Engine] = {Order: first.engine, Customer: second.engine}
    with Session(binds=binds) as session, pytest.raises(OutboxError, match=r"name bridge\.contrib.*OutboxEvent in its"):
        emit(imported(1), session=session, emitter=emitter)
    with (
        Session(second.engine, binds={Order: first.engine}) as session,
        pytest.raises(OutboxError, match="in its binds"),
    ):
        emit(imported(1), session=session, emitter=emitter)
    with Session(binds={**binds, OutboxEvent: first.engine}) as session:
        emit(imported(2), session=session, emitter=emitter)
        session.commit()
    with Session(first.engine, binds={Order: first.engine}) as session:
        emit(imported(3), session=session, emitter=emitter)
        session.commit()
    with Session(binds={Order: first.engine}) as session, pytest.raises(UnboundExecutionError):
        emit(imported(4), session=session, emitter=emitter)
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == [2, 3]
    assert second.column("id") == []
