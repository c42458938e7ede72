"""Ports of rights that can be withdrawn, or lent for a moment: the record, whoever reads it, and tickets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.model.withdrawal import Withdrawals


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What came of a withdrawal."""

    gateways: int  # processes that heard of it at once; any other reads the record before it serves anybody
    evicted: int  # older withdrawals that found no room any more


@dataclass(frozen=True, kw_only=True, slots=True)
class Issued:
    """What came of a ticket."""

    kept: bool  # whether there is one: not where its user has got ``TICKETS_PER_USER_MAX`` in ``TICKET_S``
    # Since one of its targets was disconnected last, in ms: it may be worth nothing. None if that is in no record.
    withdrawn_ms: int | None = None


class RightsRecord(Protocol):
    """Who was disconnected lately, and the channel on which gateways hear of it."""

    def withdraw(self, target: str) -> Told:
        """Record that a user or session is disconnected now, and tell every gateway. A second call counts anew.

        The record keeps the newest ``WITHDRAWN_MAX`` for ``Settings.disconnect_ttl_s``.
        """

    def end_streams(self, target: str) -> int:
        """Tell every gateway to end the open streams of a user or session, and record nothing.

        Returns how many processes heard of it. Any other never will.
        """


class Tickets(Protocol):
    """What one-use tickets stand for, by a digest of each."""

    async def issue(self, digest: str, user: str, record: bytes, *, age_ms: int, targets: Sequence[str]) -> Issued:
        """Keep a ticket's record for ``TICKET_S``, unless its user has too many.

        Args:
            digest: of the ticket.
            user: whose tickets are counted.
            record: what it stands for.
            age_ms: when its user was last known: it counts as issued so long ago.
            targets: user and session, as ``RightsRecord.withdraw`` names them; see ``Issued``.
        """
        ...

    async def take(self, digest: str) -> bytes | None:
        """What was kept, once: since when it counts, in ms of the store, a blank, the record. None if there is none."""
        ...


class WithdrawnRights(Protocol):
    """The gateways' side."""

    @property
    def channel(self) -> str:
        """Where withdrawals are heard, as ``Withdrawal.write`` has them."""
        ...

    async def read(self) -> Withdrawals:
        """Everything that is in the record."""
        ...
