"""The transactional outbox: events that wait in a table of the application's own database, and their way to the broker.

An integration (``bridge.contrib``) writes an ``OutboxRow`` in the business transaction, through whatever the
application uses, and hands its database to ``Emitter.drain``; the rest is here.
"""

from bridge.producer.outbox.row import SCHEMA_VERSION, OutboxRow
from bridge.producer.outbox.schema import DIALECTS, TABLE, create_statements, drop_statements

__all__ = ["DIALECTS", "SCHEMA_VERSION", "TABLE", "OutboxRow", "create_statements", "drop_statements"]
