"""``OutboxDatabase``: the application's own database as the drain of its outbox uses it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from threading import Event
from typing import Any, Protocol, TypeAlias

Run: TypeAlias = Callable[..., Sequence[Sequence[Any]]]
"""``run(sql, *values)`` runs one statement, with ``%s`` where a value goes, and returns its rows, if it has any."""


class OutboxDatabase(Protocol):
    """One database, by a connection that nothing else uses. But for ``notices`` all calls come from one thread.

    Whatever the driver raises comes out as it is; ``bridge.producer.outbox`` knows what it means.
    """

    @property
    def name(self) -> str:
        """Which database it is, for operators: the same in each process that uses it, without user and password."""

    @property
    def dialect(self) -> str:
        """``postgresql``, ``mysql`` (MariaDB as well) or ``sqlite``; ``bridge.producer.outbox.schema`` has each."""

    @property
    def maker(self) -> str:
        """How its table is made, in words; empty: as ``sse-bridge outbox`` says."""

    def transaction(self) -> AbstractContextManager[Run]:
        """One transaction at READ COMMITTED, committed at the end and rolled back by an exception.

        On SQLite it has the write lock from its beginning (BEGIN IMMEDIATE). A connection that was lost is made anew by
        the next call.
        """

    def notices(self, stopping: Event) -> Iterator[None]:
        """Whenever the database says that rows were committed (NOTIFY), until ``stopping`` is set.

        Waits for at most a few seconds at a time, on a thread and a connection of its own, which end with it.
        """

    def close(self) -> None:
        """Drop the connection. Idempotent, never raises."""
