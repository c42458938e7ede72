"""``DemoPlan``: what the demo's processes are told when they start; one JSON argument on their command line."""

from uuid import UUID

import msgspec


class DemoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo does.

    Attributes:
        user_id: whose statement is imported, and who looks at the page.
        ledger: path of the SQLite database.
        statement: path of the bank statement.
        rows_per_s: how fast transactions are entered; 0 is as fast as possible.
        loop: begin again with an empty ledger when an import is done.
    """

    user_id: UUID
    ledger: str
    statement: str
    rows_per_s: float = 30.0
    loop: bool = False

    def as_argument(self) -> str:
        """The plan as a command line argument."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_argument(cls, text: str) -> "DemoPlan":
        """The plan in an argument made by ``as_argument``."""
        return msgspec.json.decode(text, type=cls)
