"""One-use tickets: kept for a short while and taken once, so many a user, and with what was withdrawn meanwhile."""

import pytest

from bridge.model.errors import StoreError
from bridge.model.withdrawal import TICKET_S
from bridge.redis_adapter import tickets as redis_tickets
from bridge.testing import rights as memory_tickets
from tests.contract.conftest import Open

TARGETS = ("user:7", "session:abc")


async def test_a_ticket_is_taken_once_with_since_when_it_counts(opened: Open) -> None:
    tickets = (await opened()).tickets
    for digest, age_ms in (("a", 0), ("b", 5_000)):
        assert (await tickets.issue(digest, "7", b"{x y}", age_ms=age_ms, targets=TARGETS)).kept
    found = [await tickets.take(digest) for digest in ("a", "b")]
    (at_ms, record), (older_ms, _) = ((one or b"").split(b" ", 1) for one in found)
    assert record == b"{x y}" and 4_000 < int(at_ms) - int(older_ms) <= 5_000
    assert [await tickets.take(digest) for digest in ("a", "b", "c")] == [None, None, None]


async def test_a_ticket_is_good_for_its_time(opened: Open) -> None:
    adapter = await opened()
    await adapter.tickets.issue("a", "7", b"{}", age_ms=0, targets=())
    await adapter.tickets.issue("b", "7", b"{}", age_ms=0, targets=())
    adapter.pass_time(TICKET_S - 10)
    assert await adapter.tickets.take("a")
    adapter.pass_time(20)
    assert await adapter.tickets.take("b") is None


async def test_a_user_gets_so_many_in_that_time(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (redis_tickets, memory_tickets):
        monkeypatch.setattr(module, "TICKETS_PER_USER_MAX", 2)
    adapter = await opened()

    async def kept(digest: str, user: str = "7") -> bool:
        return (await adapter.tickets.issue(digest, user, b"{}", age_ms=0, targets=())).kept

    assert [await kept(digest) for digest in ("a", "b", "c")] == [True, True, False]
    assert await kept("d", "8")
    assert await adapter.tickets.take("c") is None
    adapter.pass_time(TICKET_S + 1)
    assert await kept("e")


@pytest.mark.parametrize("target", TARGETS)
async def test_whoever_issues_learns_of_a_disconnect_that_it_has_not_heard_of(opened: Open, target: str) -> None:
    adapter = await opened()
    adapter.store.rights.withdraw("user:8")
    assert (await adapter.tickets.issue("a", "7", b"{}", age_ms=0, targets=TARGETS)).withdrawn_ms is None
    adapter.store.rights.withdraw(target)
    adapter.pass_time(2)
    issued = await adapter.tickets.issue("b", "7", b"{}", age_ms=0, targets=TARGETS)
    assert issued.kept and 2_000 <= (issued.withdrawn_ms or 0) < 60_000


async def test_a_store_that_is_away_says_so(opened: Open) -> None:
    tickets = (await opened(away=True)).tickets
    with pytest.raises(StoreError):
        await tickets.issue("a", "7", b"{}", age_ms=0, targets=())
    with pytest.raises(StoreError):
        await tickets.take("a")
