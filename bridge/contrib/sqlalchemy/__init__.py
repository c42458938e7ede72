"""The outbox for SQLAlchemy 2: events that are committed with the session's own changes, or not at all.

``emit(event, session=session)`` adds a row to the session, and the emitter's own thread carries it to the broker after
the commit. ``drain(engine)`` at the start of a process also sends what another left. The table is made by a migration
(``create_outbox``) or with the application's own metadata (``outbox_table``). See docs/outbox.md.
"""

from bridge.contrib.sqlalchemy.session import drain, emit
from bridge.contrib.sqlalchemy.table import create_outbox, drop_outbox, outbox_table

__all__ = ["create_outbox", "drain", "drop_outbox", "emit", "outbox_table"]
