"""``emit(event, session=session)``: inserts the row of an event in a session, and tells its drain of the commit."""

import weakref
from typing import Any, TypeAlias

from msgspec.structs import asdict
from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from bridge.contrib.sqlalchemy.database import SqlAlchemyDatabase
from bridge.contrib.sqlalchemy.routing import bind_of, note_row
from bridge.contrib.sqlalchemy.table import INSERT, OutboxEvent
from bridge.producer.default import needed_emitter, process_emitter
from bridge.producer.diversion import outbox_diversion
from bridge.producer.emitter import Emitter
from bridge.producer.outbox.drain import Drain
from bridge.producer.outbox.row import OutboxRow

AnySession: TypeAlias = Session | AsyncSession | scoped_session[Any] | async_scoped_session[Any]
"""What an application calls its session."""
AnyEngine: TypeAlias = Engine | AsyncEngine
"""What it connects to its database by."""
_DRAIN = "bridge outbox"
"""Where a session's ``info`` has the drain that is to hear of its commit."""


def emit(domain_event: Any, *, session: AnySession, emitter: Emitter | None = None) -> bool:
    """Have a domain event committed with the session's other changes, or rolled back with them.

    One INSERT, and no other statement: of a Session at once, of an AsyncSession at its next flush, so that nothing is
    awaited here. An error of that INSERT is an error of the transaction, like any other's. After the commit a thread of
    this process sends the event; if the process dies before that, any other one does.

    Args:
        domain_event: as for ``bridge.emit``.
        session: not committed yet.
        emitter: default: the process' own.

    Returns:
        As ``bridge.emit``: False if the event is refused, which is logged, counted, and leaves the transaction alone.

    Raises:
        EventRefusedError: only of a strict emitter.
        SettingsError: the process can make no emitter, as a setting or the catalog is wrong; roll back.
        TypeError: ``session`` is none.
        OutboxError: the session has several databases, and does not say where its outbox is.
        SQLAlchemyError: the INSERT failed; roll back.
    """
    is_async, sync_session = _sync(session)
    emitter = emitter or needed_emitter()
    if (test := outbox_diversion()) is not None:
        return emitter.show(domain_event, test, _Pending(sync_session).stands)
    bind = bind_of(sync_session)
    drain = _drain_of(bind, emitter)
    row = emitter.row_for(domain_event, drain)
    if row is None:
        return False
    if is_async:
        sync_session.add(OutboxEvent(row, bind))
    else:
        _insert(sync_session, row, bind)
    sync_session.info[_DRAIN] = drain
    note_row(sync_session, bind)
    return True


def drain(engine: AnyEngine, *, emitter: Emitter | None = None) -> bool:
    """Begin to send what waits in a database's outbox, at the start of a process; ``emit`` begins by itself.

    It is sent for as long as somebody keeps the engine.

    Args:
        engine: of the database that has the table; its pool is used by one thread of the emitter.
        emitter: default: the process' own.

    Returns:
        Whether the process has an emitter. Idempotent.
    """
    emitter = emitter or process_emitter()
    if emitter is None:
        return False
    _drain_of(engine.sync_engine if isinstance(engine, AsyncEngine) else engine, emitter).asked_for = True
    return True


def _insert(session: Session, row: OutboxRow, bind: Engine | Connection) -> None:
    """By a statement, in half the time that a flush takes."""
    session.connection({"bind": bind}).execute(INSERT, asdict(row))


def _drain_of(bind: Engine | Connection, emitter: Emitter) -> Drain:
    url, engine = emitter.outbox_url, bind.engine
    while (behind := getattr(engine, "_proxied", None)) is not None:  # one with other options
        engine = behind
    if url:
        return emitter.drain(url, lambda: SqlAlchemyDatabase(engine, url))
    return emitter.drain(weakref.ref(engine), lambda: SqlAlchemyDatabase(engine), lives_with=engine)


def _sync(session: Any) -> tuple[bool, Session]:
    """Whether a session is awaited, and the one that does the work behind whatever an application calls its session."""
    if isinstance(session, scoped_session | async_scoped_session):
        session = session()
    if isinstance(session, AsyncSession):
        return True, session.sync_session
    if isinstance(session, Session):
        return False, session
    raise TypeError(f"session= must be a Session or an AsyncSession of SQLAlchemy, and is a {type(session).__name__}.")


@event.listens_for(Session, "before_flush")
def _insert_added(session: Session, *_: Any) -> None:
    """What an AsyncSession was given, which cannot be inserted at once."""
    if _DRAIN in session.info:
        for added in [one for one in session.new if isinstance(one, OutboxEvent)]:
            session.expunge(added)
            _insert(session, added.row, added.bind)


@event.listens_for(Session, "after_commit")
def _wake(session: Session) -> None:
    """Also of a savepoint, before the rows are there: to wake the drain too often does no harm."""
    if _DRAIN in session.info:
        session.info[_DRAIN].wake()
    if _PENDING in session.info:
        ended = session.get_nested_transaction() or session.get_transaction()
        for pending in session.info[_PENDING]:
            pending.commit(ended)


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, transaction: Any) -> None:
    for pending in session.info.get(_PENDING, ()):
        pending.end(transaction)
    if transaction.parent is None:
        session.info.pop(_DRAIN, None)
        session.info.pop(_PENDING, None)


# In tests

_PENDING = "bridge test"
"""Where a session's ``info`` has the events that a test is shown."""


class _Pending:
    """An event that is seen by a test for as long as its transaction and its savepoint are not rolled back."""

    def __init__(self, session: Session) -> None:
        # As an INSERT would, it begins the transaction.
        self._within: Any = session.get_nested_transaction() or session.get_transaction() or session.begin()
        self._ends = False
        session.info.setdefault(_PENDING, []).append(self)

    def commit(self, transaction: Any) -> None:
        """A transaction is committed, or a savepoint released, into what is around it."""
        if self._within is transaction:
            self._within = transaction.parent

    def end(self, transaction: Any) -> None:
        """A transaction has ended, and was not committed if the event is in it still."""
        self._ends |= self._within is transaction

    def stands(self) -> bool:
        """Whether it may be committed, or is."""
        return not self._ends
