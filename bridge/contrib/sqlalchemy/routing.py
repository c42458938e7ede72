"""Into which of a session's databases the row of an event goes: that of the business rows, or there is an error."""

from contextlib import suppress
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, object_mapper

from bridge.contrib.sqlalchemy.database import name_of
from bridge.contrib.sqlalchemy.table import INSERT, MAPPER, OutboxEvent
from bridge.model.errors import OutboxError

_NAMES = frozenset({OutboxEvent, INSERT.table})
_CALLED = f"{OutboxEvent.__module__}.{OutboxEvent.__name__}"
_BIND = "bridge outbox bind"
"""Where the ``info`` of a session that chooses its binds itself has the one of its events …"""
_WRITTEN = "bridge outbox written"
"""… and the engines to which its flushes have written."""


def bind_of(session: Session) -> Engine | Connection:
    """Where the session's next flush would insert the row.

    Raises:
        OutboxError: the session has several databases, and does not say where its outbox is.
    """
    if _chooses(session):
        before, session._flushing = session._flushing, True  # by which the likes of read replicas are chosen
        try:
            return session.get_bind(MAPPER)
        finally:
            session._flushing = before
    binds = getattr(session, "binds", None) or getattr(session, "_Session__binds", {})  # since 2.1; before
    if binds and not binds.keys() & _NAMES:
        named = {bind.engine.dialect for bind in (*binds.values(), session.bind) if bind is not None}
        if len(named) > 1:
            raise OutboxError(f"The session has several databases: name {_CALLED} in its binds, too.")
    return session.get_bind(MAPPER)


def note_row(session: Session, bind: Engine | Connection) -> None:
    """A row was, or will be, inserted by that bind; the commit makes sure that its transaction is the business'."""
    if _chooses(session):
        session.info[_BIND] = bind


def _chooses(session: Session) -> bool:
    """Whether the session's class has a ``get_bind`` of its own."""
    return type(session).get_bind is not Session.get_bind


@event.listens_for(Session, "after_flush")
def _note_written(session: Session, _: Any) -> None:
    if _chooses(session):
        mappers = {object_mapper(one) for one in chain(session.new, session.dirty, session.deleted)}
        written = session.info.setdefault(_WRITTEN, {})
        with suppress(Exception):  # it may want to know more, as shards do: then it is not looked at
            written.update({(engine := session.get_bind(mapper).engine).dialect: engine for mapper in mappers})


@event.listens_for(Session, "before_commit")
def _check(session: Session) -> None:
    if _BIND not in session.info or session.in_nested_transaction():
        return
    session.flush()
    outbox, written = session.info[_BIND].engine, session.info.get(_WRITTEN)
    if written and outbox.dialect not in written:
        other = next(iter(written.values()))
        raise OutboxError(
            f"The session writes to {name_of(other.url)}, and its event to the outbox in {name_of(outbox.url)}, which "
            f"commits on its own: let its get_bind() return the same for {_CALLED}."
        )


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, transaction: Any) -> None:
    if transaction.parent is None:
        session.info.pop(_BIND, None)
        session.info.pop(_WRITTEN, None)
