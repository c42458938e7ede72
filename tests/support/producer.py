"""A producer service of its own process: ``python -m tests.support.producer catalog|progress USER [N]``.

Prints the ids of the events it emitted, one a line.
"""

import sys
from decimal import Decimal
from uuid import UUID

from bridge import DomainEvent, emit_many, flush
from bridge.catalogs.finance import events as e
from tests.support.waiting import WAIT_S

CONNECTION = UUID("00000000-0000-4000-8000-000000000001")
ACCOUNT = UUID("00000000-0000-4000-8000-000000000002")
TALK = UUID("00000000-0000-4000-8000-000000000003")
SESSION = UUID("00000000-0000-4000-8000-000000000004")


def catalog(user_id: UUID) -> list[DomainEvent]:
    """One event of each class of the built-in catalog."""
    to = {"user_id": user_id}
    link = {**to, "connection_id": CONNECTION}
    bank = {**link, "provider_slug": "first-bank"}
    account = {**link, "account_id": ACCOUNT}
    talk = {**to, "conversation_id": TALK}
    session = {**to, "session_id": SESSION}
    file = {**to, "file_name": "march.csv"}
    return [
        e.AccountSyncAttempted(**bank),
        e.AccountSyncSucceeded(**bank, account_count=3),
        e.AccountSyncFailed(**bank, reason="no answer"),
        e.TransactionSyncAttempted(**link),
        e.TransactionSyncSucceeded(**account, transaction_count=17),
        e.TransactionSyncFailed(**account, reason="line\nbreak\r\n and \u2028 and NUL \x00"),
        e.HoldingsSyncAttempted(**account),
        e.HoldingsSyncSucceeded(**account, holdings_count=4),
        e.HoldingsSyncFailed(**account, reason="data: injected\n\nevent: evil"),
        e.ProviderTokenExpiringSoon(**bank, expires_in_seconds=3600),
        e.ProviderTokenRefreshSucceeded(**bank),
        e.ProviderTokenRefreshFailed(**bank, needs_user_action=True),
        e.ProviderDisconnectionSucceeded(**bank),
        e.AIResponseChunkGenerated(**talk, chunk="Grüße 🌍", is_final=False),
        e.AIToolExecutionStarted(**talk, tool_name="search"),
        e.AIResponseCompleted(**talk),
        e.FileImportAttempted(**file, file_format="csv"),
        e.FileImportProgressed(**file, progress_percent=50, records_processed=5, total_records=10),
        e.FileImportSucceeded(**file, transaction_count=10),
        e.FileImportFailed(**file, reason="bad header"),
        e.AccountBalanceUpdated(
            **to,
            account_id=ACCOUNT,
            previous_balance=Decimal("10.10"),
            new_balance=Decimal("20.20"),
            currency="EUR",
        ),
        e.AccountHoldingsUpdated(**to, account_id=ACCOUNT, holdings_count=2),
        e.SessionCreated(**session),
        e.SuspiciousSessionActivityDetected(**session, activity_type="new country"),
        e.SessionExpiringSoon(**session, expires_in_seconds=60),
    ]


def progress(user_id: UUID, number: int) -> list[DomainEvent]:
    """Events of one import, numbered."""
    return [
        e.FileImportProgressed(
            user_id=user_id, file_name="x", progress_percent=0, records_processed=done, total_records=number
        )
        for done in range(number)
    ]


def main() -> None:
    kind, user_id = sys.argv[1], UUID(sys.argv[2])
    events = catalog(user_id) if kind == "catalog" else progress(user_id, int(sys.argv[3]))
    accepted = emit_many(events)
    if accepted != len(events) or not flush(WAIT_S):
        sys.exit("Not every event reached the broker.")
    print("\n".join(str(event.event_id) for event in events))


if __name__ == "__main__":
    main()
