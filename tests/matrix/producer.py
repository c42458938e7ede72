"""A producer that does what it is told on its standard input, a command a line, in the environment of a row.

Answers each with the ids of the events that were accepted, as a line of JSON. Ends by SIGTERM, as a service does.
Imports the bridge, SQLAlchemy, and nothing else that is not Python's own.
"""

import json
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from uuid import UUID

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Session

from bridge import emit, emit_many, flush
from bridge.catalogs.finance import FileImportSucceeded
from bridge.contrib.sqlalchemy import emit as emit_in
from bridge.contrib.sqlalchemy import outbox_table

FLUSH_S = 120.0


class Base(DeclarativeBase):
    pass


outbox_table(Base.metadata)


class Producer:
    """One process' commands, by name. Each takes a number and gives the events that were accepted."""

    def __init__(self, user: UUID, database: str) -> None:
        self._user, self._database = user, database

    def emit(self, number: int) -> Iterable[FileImportSucceeded]:
        """One by one."""
        return [event for event in self._events(number) if emit(event)]

    def burst(self, number: int) -> Iterable[FileImportSucceeded]:
        """All at once."""
        events = self._events(number)
        assert emit_many(events) == number
        return events

    def fork(self, number: int) -> Iterable[FileImportSucceeded]:
        """In a forked child, which ends when it has emitted, and does not wait."""
        ours, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=self._tell, args=(theirs, number))
        child.start()
        accepted: list[FileImportSucceeded] = ours.recv()
        child.join(FLUSH_S)
        assert child.exitcode == 0, child.exitcode
        return accepted

    def flush(self, _: int) -> Iterable[FileImportSucceeded]:
        """Until the broker has everything."""
        assert flush(FLUSH_S)
        return []

    def outbox(self, number: int) -> Iterable[FileImportSucceeded]:
        """In transactions, of which each third is rolled back."""
        engine = create_engine(self._database)
        Base.metadata.create_all(engine)
        committed = []
        for place, event in enumerate(self._events(number)):
            with Session(engine) as session:
                emit_in(event, session=session)
                if place % 3 == 0:
                    session.rollback()
                    continue
                session.commit()
                committed.append(event)
        assert flush(FLUSH_S)
        return committed

    def _tell(self, pipe: Connection, number: int) -> None:
        pipe.send(self.emit(number))

    def _events(self, number: int) -> list[FileImportSucceeded]:
        return [
            FileImportSucceeded(user_id=self._user, file_name="may.csv", transaction_count=place)
            for place in range(number)
        ]


def main(user: str, database: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    producer = Producer(UUID(user), database)
    for line in sys.stdin:
        name, number = line.split()
        command: Callable[[int], Iterable[FileImportSucceeded]] = getattr(producer, name)
        print(json.dumps([str(event.event_id) for event in command(int(number))]), flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
