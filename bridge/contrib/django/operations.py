"""Operations for migrations that are for one kind of database each, and do nothing elsewhere."""

from typing import Any, ClassVar

from django.db.migrations import RunSQL

from bridge.producer.outbox import TABLE
from bridge.producer.outbox.schema import notify_statements


class _RunSqlOn(RunSQL):
    vendor: ClassVar[str]

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """There are no arguments."""
        return type(self).__qualname__, [], {}

    def _run_sql(self, schema_editor: Any, sqls: Any) -> None:
        if schema_editor.connection.vendor == self.vendor:
            super()._run_sql(schema_editor, sqls)


class NotifyOfOutbox(_RunSqlOn):
    """Makes the trigger for ``BRIDGE_OUTBOX_NOTIFY``: in a migration that depends on ``("bridge", "0001_outbox")``."""

    vendor = "postgresql"

    def __init__(self) -> None:
        backwards = [f"DROP TRIGGER IF EXISTS {TABLE}_notify ON {TABLE}", f"DROP FUNCTION IF EXISTS {TABLE}_notify()"]
        super().__init__(notify_statements("postgresql"), backwards)


class TransactionalOutbox(_RunSqlOn):
    """Gives the table what a server or a database may have other defaults for: transactions, and every letter."""

    vendor = "mysql"

    def __init__(self) -> None:
        super().__init__([f"ALTER TABLE {TABLE} ENGINE = InnoDB, CONVERT TO CHARACTER SET utf8mb4"], self.noop)
