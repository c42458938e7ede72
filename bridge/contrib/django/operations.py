"""``NotifyOfOutbox``: the trigger for ``BRIDGE_OUTBOX_NOTIFY``, by a migration of the project's own."""

from typing import Any

from django.db.migrations import RunSQL

from bridge.producer.outbox import TABLE
from bridge.producer.outbox.schema import notify_statements


class NotifyOfOutbox(RunSQL):
    """Makes it on PostgreSQL, and nothing elsewhere. Depends on ``("bridge", "0001_outbox")``."""

    def __init__(self) -> None:
        backwards = [f"DROP TRIGGER IF EXISTS {TABLE}_notify ON {TABLE}", f"DROP FUNCTION IF EXISTS {TABLE}_notify()"]
        super().__init__(notify_statements("postgresql"), backwards)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """It has no arguments."""
        return type(self).__qualname__, [], {}

    def _run_sql(self, schema_editor: Any, sqls: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super()._run_sql(schema_editor, sqls)
