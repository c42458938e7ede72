"""The events that everybody handles: four classes of three categories in turn, for a number of users."""

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from uuid import UUID

from bridge import DomainEvent
from bridge.catalogs.finance import events as e

CONNECTION = UUID("00000000-0000-4000-8000-000000000001")
ACCOUNT = UUID("00000000-0000-4000-8000-000000000002")
WARM_UP_USER = UUID("00000000-0000-4000-8000-0000000000ff")


@cache
def user(number: int) -> UUID:
    """The id of a user."""
    return UUID(int=(0x0190F0A100007000 << 64) | 0x8000000000000000 | number)


def events(number: int, users: int, *, first: int = 0) -> Iterator[DomainEvent]:
    """New events, each user's turn coming in order."""
    for index in range(first, first + number):
        yield _event(index, user(index % users))


def warm_up(number: int) -> list[DomainEvent]:
    """Events of a user of their own, of every class that is measured."""
    return [_event(index, WARM_UP_USER) for index in range(number)]


def numbered(index: int, users: int) -> DomainEvent:
    """An event that tells its number, so that its arrival can be recognised."""
    return e.FileImportProgressed(
        user_id=user(index % users), file_name="may.csv", progress_percent=50, records_processed=index, total_records=1
    )


def _event(index: int, user_id: UUID) -> DomainEvent:
    match index % 4:
        case 0:
            return e.AccountSyncSucceeded(
                user_id=user_id, connection_id=CONNECTION, provider_slug="first-bank", account_count=index
            )
        case 1:
            return e.TransactionSyncSucceeded(
                user_id=user_id, connection_id=CONNECTION, account_id=ACCOUNT, transaction_count=index
            )
        case 2:
            return e.FileImportProgressed(
                user_id=user_id, file_name="may.csv", progress_percent=50, records_processed=index, total_records=100
            )
        case _:
            return e.AccountBalanceUpdated(
                user_id=user_id,
                account_id=ACCOUNT,
                previous_balance=Decimal("10.10"),
                new_balance=Decimal("20.20"),
                currency="EUR",
            )
