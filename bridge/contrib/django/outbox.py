"""``emit_on_commit``: inserts the row of an event in the running transaction, and tells its drain of the commit."""

from typing import Any

from asgiref.sync import sync_to_async
from django.core.signals import request_started
from django.db import DatabaseError, IntegrityError, connections, router, transaction
from django.db.transaction import TransactionManagementError
from msgspec.structs import astuple

from bridge.contrib.django.apps import require_app
from bridge.contrib.django.database import DjangoDatabase, explained_of
from bridge.contrib.django.under_test import is_test
from bridge.model.plain_text import plain_logger
from bridge.producer.batching import Accepted
from bridge.producer.default import needed_emitter, process_emitter
from bridge.producer.diversion import Diversion, outbox_diversion
from bridge.producer.emitter import Emitter
from bridge.producer.outbox import TABLE, OutboxRow
from bridge.producer.outbox.drain import Drain

logger = plain_logger(__name__)

_COLUMNS = OutboxRow.__struct_fields__
INSERT = f"INSERT INTO {TABLE} ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"  # noqa: S608


def emit_on_commit(domain_event: Any, using: str | None = None, *, emitter: Emitter | None = None) -> bool:
    """Have a domain event committed with the running transaction, or rolled back with it or with its savepoint.

    One INSERT and no other statement. Outside of ``atomic()`` the row is committed at once. After the commit a thread
    of this process sends the event; if the process dies before that, any other one does.

    An error of the INSERT is an error of the transaction, as of a ``save()``: what cannot be told must not happen.

    Args:
        domain_event: as for ``bridge.emit``.
        using: the database whose transaction it is; default: where the routers write ``OutboxEvent``.
        emitter: default: the process' own.

    Returns:
        As ``bridge.emit``: False if the event is refused, which is logged, counted, and leaves the transaction alone.

    Raises:
        EventRefusedError: only of a strict emitter.
        SettingsError: the process can make no emitter, as a setting or the catalog is wrong, which is an error of the
            transaction, too; or the project does not have the bridge in INSTALLED_APPS.
        TransactionManagementError: no ``using``, and a transaction of another database runs, alone or beside one of
            this.
        DatabaseError: the INSERT failed; a note says what is missing.
        SynchronousOnlyOperation: called from a coroutine: await ``aemit_on_commit``.
    """
    require_app("emit_on_commit")
    alias = using or _alias()
    with transaction.mark_for_rollback_on_error(using=alias):
        emitter = emitter or needed_emitter()
    connection = connections[alias]
    if (test := outbox_diversion()) is not None:
        return _show(domain_event, test, emitter, connection)
    drain: Any = _Unsent() if is_test() else _drain_of(alias, emitter)
    row = emitter.row_for(domain_event, drain)
    if row is None:
        return False
    try:
        with transaction.mark_for_rollback_on_error(using=alias), connection.cursor() as cursor:
            cursor.execute(INSERT, astuple(row))
    except DatabaseError as error:
        if not isinstance(error, IntegrityError):
            error.add_note(explained_of(error, connection))
        raise
    if isinstance(drain, Drain) and (connection.in_atomic_block or connection.autocommit):
        connection.on_commit(drain.wake, robust=True)  # what is committed by hand is found by the poll
    return True


async def aemit_on_commit(domain_event: Any, using: str | None = None, *, emitter: Emitter | None = None) -> bool:
    """As ``emit_on_commit``, from a coroutine: on the thread of Django's other asynchronous calls.

    Django has no transactions there: the row is committed at once. A transaction is a function that calls
    ``emit_on_commit`` and is itself awaited by ``sync_to_async``.
    """
    return bool(await sync_to_async(emit_on_commit)(domain_event, using, emitter=emitter))


def drain(using: str | None = None, *, emitter: Emitter | None = None) -> bool:
    """Begin to send what waits in a database's outbox.

    A process that serves requests begins with the first of them, any other when it first emits: call it where neither
    happens, or for a further database, but not in ``ready()``, which each command of manage.py runs.

    Args:
        using: the database that has the table; default: where the routers write ``OutboxEvent``.
        emitter: default: the process' own.

    Returns:
        Whether the process has an emitter. Idempotent.

    Raises:
        SettingsError: the project does not have the bridge in INSTALLED_APPS.
    """
    require_app("drain")
    emitter = emitter or process_emitter()
    if emitter is None:
        return False
    _drain_of(using or _written_to(), emitter)
    return True


def _drain_of(alias: str, emitter: Emitter) -> Drain:
    return emitter.drain(("django", alias), lambda: DjangoDatabase(alias, emitter.outbox_url))


def _written_to() -> str:
    """Where the routers write the outbox."""
    from bridge.contrib.django.models import OutboxEvent  # when all models are loaded

    return str(router.db_for_write(OutboxEvent))


def _alias() -> str:
    """The same, unless a transaction of another database runs, also within one of this: which of them is meant?

    Raises:
        TransactionManagementError: one does.
    """
    alias = _written_to()
    running = [one.alias for one in connections.all(initialized_only=True) if _is_in_transaction(one)]
    if others := [one for one in running if one != alias]:
        raise TransactionManagementError(
            f"emit_on_commit would write to {alias!r}, but a transaction runs on {others[0]!r}: "
            f"pass using={others[0]!r}, or using={alias!r} if that is meant."
        )
    return alias


def _is_in_transaction(connection: Any) -> bool:
    """Whether one of the application's runs: a ``TestCase`` has one of its own around each of its databases."""
    return any(not block._from_testcase for block in connection.atomic_blocks)


# Serving requests


def _begin(**_: Any) -> None:
    """What another process left is sent as soon as this one serves requests; no request may suffer from that."""
    if is_test() or outbox_diversion() is not None:
        return
    try:
        drain()
    except Exception as error:  # of a router, or of settings that cannot be used
        logger.error("bridge.outbox.unusable %s", error)


request_started.connect(_begin, dispatch_uid=__name__)


# In tests


class _Unsent:
    """In place of a drain, where a test runs: what is in its database is not sent, unless it calls ``drain``."""

    def has_room(self) -> bool:
        return True

    def row(self, event: Accepted) -> OutboxRow:
        return OutboxRow.of(event)


class _Pending:
    """An event that is seen by a test for as long as its transaction is not rolled back.

    A ``TestCase`` commits nothing, so that no callback runs; but one of a savepoint that is rolled back is dropped.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._committed = not connection.in_atomic_block
        if not self._committed:
            connection.on_commit(self)

    def __call__(self) -> None:
        self._committed = True

    def stands(self) -> bool:
        return self._committed or any(callback is self for _, callback, _ in self._connection.run_on_commit)


def _show(domain_event: Any, test: Diversion, emitter: Emitter, connection: Any) -> bool:
    pending = _Pending(connection)
    return emitter.show(domain_event, test, pending.stands)
