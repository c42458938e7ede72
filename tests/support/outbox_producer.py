"""A process that commits and rolls back transactions with an event in each, and dies at a moment of its choice.

Its arguments: by what, the database, a folder, a place among its like, a seed, and the moment. It ends when the folder
has a file called ``stop``. A third of the transactions is rolled back. The table ``business`` tells what was committed.
"""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import django.db
import pymysql
from django.conf import settings
from django.db import transaction
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import bridge.producer.outbox.table
from bridge import flush
from bridge.contrib.sqlalchemy import drain, emit
from bridge.producer.outbox.drain import Drain
from bridge.producer.outbox.table import OutboxTable
from bridge.producer.sender import Sender
from tests.support.django_databases import settings_of
from tests.support.moody_catalog import Moody

USERS = 5
MOMENTS = ("before commit", "in commit", "after commit", "claimed", "sent", "removed", "any")
LEASE_S = 1.0
"""A tenth of the usual: how long a dead process' rows wait is not what is tried."""


def users_of(place: int) -> list[UUID]:
    """Whose events a process of that place emits; the next one there goes on with them."""
    return [uuid5(NAMESPACE_OID, f"{place}-{number}") for number in range(USERS)]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying_after(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any) -> Any:
        answer = function(*arguments)
        die()
        return answer

    return called


def arrange_death(moment: str, dice: random.Random) -> Callable[[], None]:
    """Die at that moment of some transaction or of what is drained; what is returned is called before each commit."""
    left = dice.randint(5, 40)

    def before_commit() -> None:
        nonlocal left
        left -= 1
        if left:
            return
        match moment:
            case "before commit":
                die()
            case "in commit":
                threading.Timer(dice.random() * 0.003, die).start()
            case "after commit":
                Drain.wake = lambda _: die()  # type: ignore[method-assign]
            case "claimed":
                Sender.try_messages = lambda *_: die()  # type: ignore[assignment,method-assign]
            case "sent":
                Sender.try_messages = _dying_after(Sender.try_messages)  # type: ignore[method-assign]
            case "removed":
                OutboxTable.remove = _dying_after(OutboxTable.remove)  # type: ignore[method-assign]
            case "any":
                threading.Timer(dice.random() * 0.5, die).start()

    return before_commit


Transact = Callable[[Moody, bool, Callable[[], None]], None]
"""One transaction: with its event, whether it is rolled back, and what is called before it is committed."""
INSERT = "INSERT INTO business (event_id, user_id) VALUES ("


def by_sqlalchemy(url: str) -> Transact:
    engine = create_engine(url, connect_args={"timeout": 60} if url.startswith("sqlite") else {})
    drain(engine)

    def transact(told: Moody, is_undone: bool, before_commit: Callable[[], None]) -> None:
        with suppress(OperationalError), Session(engine) as session:  # of SQLite, where another writes for too long
            values = {"event_id": str(told.event_id), "user_id": str(told.user_id)}
            session.execute(text(f"{INSERT}:event_id, :user_id)"), values)
            emit(told, session=session)
            if is_undone:
                session.flush()
                session.rollback()
            else:
                before_commit()
                session.commit()

    return transact


def by_django(url: str) -> Transact:
    pymysql.install_as_MySQLdb()
    options = {"OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE"}} if url.startswith("sqlite") else {}
    database = {**settings_of(url), **options}
    settings.configure(INSTALLED_APPS=["bridge.contrib.django"], DATABASES={"default": database}, USE_TZ=True)
    django.setup()
    from bridge.contrib.django import drain, emit_on_commit

    drain()

    def write(told: Moody) -> None:
        with django.db.connection.cursor() as cursor:
            cursor.execute(f"{INSERT}%s, %s)", [str(told.event_id), str(told.user_id)])
        emit_on_commit(told)

    def transact(told: Moody, is_undone: bool, before_commit: Callable[[], None]) -> None:
        with suppress(django.db.OperationalError), transaction.atomic():
            with suppress(LookupError), transaction.atomic():
                write(told)
                if is_undone:
                    raise LookupError
            if not is_undone:
                before_commit()

    return transact


def main(way: str, url: str, folder: Path, place: int, seed: str, moment: str) -> None:
    bridge.producer.outbox.table.LEASE_S = LEASE_S
    dice = random.Random(seed)
    transact = by_django(url) if way == "django" else by_sqlalchemy(url)
    before_commit = arrange_death(moment, dice)
    users, number = users_of(place), 0
    while not (folder / "stop").exists():
        number += 1
        transact(Moody(user_id=dice.choice(users), number=number), dice.random() < 1 / 3, before_commit)
    flush(60)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
