"""The record of withdrawn rights: read whole, heard on the control channel, bounded, and forgotten in time."""

import pytest

from bridge.model.errors import StoreError
from bridge.model.withdrawal import read_order
from bridge.ports import Told
from bridge.redis_adapter import rights as redis_rights
from bridge.testing import rights as memory_rights
from tests.contract.conftest import Open
from tests.support.waiting import WAIT_S

TTL_S = 3600


async def test_a_withdrawal_is_read_with_its_time_and_heard_by_whoever_listens(opened: Open) -> None:
    adapter = await opened()
    assert adapter.store.rights.withdraw("user:1") == Told(gateways=0, evicted=0)
    live = adapter.live()
    await live.open()
    await live.send("SUBSCRIBE", adapter.rights.channel)
    await live.hear(WAIT_S)
    assert adapter.store.rights.withdraw('session:"\\é') == Told(gateways=1, evicted=0)
    heard = await live.hear(WAIT_S)
    await live.close()
    assert heard is not None and heard.channel == adapter.rights.channel
    found = await adapter.rights.read()
    first, second = found.marks
    assert read_order(heard.message or b"") == second
    assert (first.target, second.target) == ("user:1", 'session:"\\é')
    assert first.at_ms <= second.at_ms <= found.now_ms


async def test_an_order_that_only_ends_streams_is_heard_and_in_no_record(opened: Open) -> None:
    adapter = await opened()
    adapter.store.rights.withdraw("user:1")
    live = adapter.live()
    await live.open()
    await live.send("SUBSCRIBE", adapter.rights.channel)
    await live.hear(WAIT_S)
    assert [adapter.store.rights.end_streams(who) for who in ("user:1", "user:2")] == [1, 1]
    orders = [read_order((await live.hear(WAIT_S)).message or b"") for _ in range(2)]  # type: ignore[union-attr]
    await live.close()
    assert [(one.target, one.lasts) for one in orders] == [("user:1", False), ("user:2", False)]
    (mark,) = (await adapter.rights.read()).marks
    assert (mark.target, mark.lasts) == ("user:1", True)
    assert mark.at_ms <= orders[0].at_ms


async def test_a_second_withdrawal_counts_anew_and_each_is_forgotten_in_time(opened: Open) -> None:
    adapter = await opened(disconnect_ttl_s=TTL_S)
    for target in ("user:1", "user:2"):
        adapter.store.rights.withdraw(target)
    adapter.pass_time(TTL_S - 10)
    adapter.store.rights.withdraw("user:1")
    assert [mark.target for mark in (await adapter.rights.read()).marks] == ["user:2", "user:1"]
    adapter.pass_time(60)
    adapter.store.rights.withdraw("user:3")
    assert [mark.target for mark in (await adapter.rights.read()).marks] == ["user:1", "user:3"]


async def test_the_oldest_fall_off_a_full_record_and_that_is_told(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (redis_rights, memory_rights):
        monkeypatch.setattr(module, "WITHDRAWN_MAX", 3)
    adapter = await opened()
    for number in range(3):
        assert adapter.store.rights.withdraw(f"user:{number}").evicted == 0
        adapter.pass_time(1)
    assert adapter.store.rights.withdraw("user:3").evicted == 1
    assert [mark.target for mark in (await adapter.rights.read()).marks] == ["user:1", "user:2", "user:3"]


async def test_a_record_that_is_away_says_so(opened: Open) -> None:
    adapter = await opened(away=True)
    with pytest.raises(StoreError):
        adapter.store.rights.withdraw("user:1")
    with pytest.raises(StoreError):
        adapter.store.rights.end_streams("user:1")
    with pytest.raises(StoreError):
        await adapter.rights.read()
