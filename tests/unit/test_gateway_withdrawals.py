"""What a withdrawal ends and refuses: what was granted before to that user or session, while it counts; no more."""

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway import withdrawals as module
from bridge.gateway.authenticator import Principal
from bridge.gateway.withdrawals import Admission, KnownWithdrawals
from bridge.model.counting import Counters
from bridge.model.withdrawal import Withdrawal, Withdrawals, read_order, session_target, user_target

TTL_S = 600
NOW_S = 1_800_000_000.0


class Record:
    """What the store says."""

    channel = "control"

    def __init__(self, *marks: Withdrawal, now_ms: int = int(NOW_S * 1000)) -> None:
        self.found = Withdrawals(marks, now_ms)

    async def read(self) -> Withdrawals:
        return self.found


def known(record: Record | None = None) -> tuple[KnownWithdrawals, Counters, list[str]]:
    counters, news = Counters(), list[str]()
    found = KnownWithdrawals(record or Record(), ttl_s=TTL_S, counters=counters, on_news=lambda: news.append("news"))
    return found, counters, news


def admission(user: int = 7, asked_at: float | None = None, **given: Any) -> Admission:
    asked_at = time.monotonic() if asked_at is None else asked_at
    return Admission.of(Principal(user=user, **given), asked_at)


def order(target: str, at_s: float = NOW_S, lasts: bool = True) -> bytes:
    return Withdrawal(target, int(at_s * 1000), lasts).write()


def test_what_was_asked_for_before_is_refused_and_what_is_asked_for_again_is_not() -> None:
    rights, _, news = known()
    before = admission()
    rights.hear(order(user_target(7)))
    assert news == ["news"]
    assert rights.refuses(before)
    assert not rights.refuses(replace(before, asked_at=time.monotonic() + 1e-3))


@pytest.mark.parametrize(("issued_at", "refused"), [(0, True), (NOW_S - 1, True), (NOW_S + 1, False), (None, False)])
def test_a_token_of_before_stays_refused_however_often_it_is_shown(issued_at: float | None, refused: bool) -> None:
    rights, _, _ = known()
    rights.hear(order(user_target(7)))
    assert rights.refuses(admission(asked_at=time.monotonic() + 60, issued_at=issued_at)) is refused


def test_a_token_of_the_same_second_counts_as_issued_before() -> None:
    rights, _, _ = known()
    rights.hear(order(user_target(7), NOW_S + 0.5))
    later = time.monotonic() + 60
    assert rights.refuses(admission(asked_at=later, issued_at=NOW_S))
    assert not rights.refuses(admission(asked_at=later, issued_at=NOW_S + 1))


def test_a_session_ends_alone_and_a_user_with_all_sessions() -> None:
    rights, _, _ = known()
    own, other, unnamed = admission(session="one"), admission(session="two"), admission()
    rights.hear(order(session_target("one")))
    assert [rights.refuses(one) for one in (own, other, unnamed)] == [True, False, False]
    rights.hear(order(user_target(7)))
    assert all(rights.refuses(one) for one in (own, other, unnamed))
    assert not rights.refuses(admission(user=8, asked_at=0, session="two"))


async def test_what_was_said_while_nothing_was_heard_is_read_and_told() -> None:
    said_ms = int(NOW_S * 1000) - 2000
    rights, _, news = known(Record(Withdrawal(user_target(7), said_ms)))
    before, after = admission(asked_at=time.monotonic() - 10), admission(asked_at=time.monotonic() - 1)
    assert not rights.refuses(before)
    await rights.load()
    assert news == ["news"]
    assert rights.refuses(before) and not rights.refuses(after)


async def test_a_clock_that_runs_behind_after_a_fail_over_refuses_nothing_of_later() -> None:
    rights, _, _ = known(Record(Withdrawal(user_target(7), int(NOW_S * 1000)), now_ms=int(NOW_S * 1000) - 60_000))
    await rights.load()
    assert not rights.refuses(admission(asked_at=time.monotonic() + 1e-3))


async def test_it_counts_no_longer_than_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rights, _, _ = known(Record(Withdrawal(user_target(7), int((NOW_S - TTL_S - 1) * 1000))))
    await rights.load()
    assert not rights.refuses(admission(asked_at=0, issued_at=0))


def test_no_more_are_remembered_than_the_record_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WITHDRAWN_MAX", 2)
    rights, _, _ = known()
    for user in (1, 2, 3):
        rights.hear(order(user_target(user)))
    assert [rights.refuses(admission(user=user, asked_at=0)) for user in (1, 2, 3)] == [False, True, True]


def test_an_order_that_does_not_last_ends_streams_and_leaves_tokens_alone() -> None:
    rights, _, news = known()
    before = admission()
    rights.hear(order(user_target(7), lasts=False))
    assert news == ["news"]
    assert rights.outdates(before) and not rights.outdates(admission(user=8, asked_at=0))
    assert not rights.refuses(before)
    again = admission(asked_at=time.monotonic() + 60, issued_at=0)
    assert not (rights.refuses(again) or rights.outdates(again))


def test_an_order_that_does_not_last_pushes_no_withdrawal_out_and_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WITHDRAWN_MAX", 2)
    rights, _, _ = known()
    rights.hear(order(user_target(7)))
    for user in (7, 1, 2, 3):
        rights.hear(order(user_target(user), lasts=False))
    assert rights.refuses(admission(asked_at=time.monotonic() + 60, issued_at=0))
    assert [rights.outdates(admission(user=user, asked_at=0)) for user in (1, 2, 3)] == [False, True, True]
    monkeypatch.setattr(module, "ENDED_S", 0.0)
    rights.hear(order(user_target(4), lasts=False))
    assert not rights.outdates(admission(user=3, asked_at=0))


@pytest.mark.parametrize("message", [b"", b"{}", b"[]", b"\xff", b'{"disconnect":7,"at_ms":1}', b"[" * 10_000])
def test_what_is_no_order_is_counted_and_nothing_else(message: bytes) -> None:
    rights, counters, news = known()
    rights.hear(message)
    assert (counters.messages_malformed, news) == (1, [])


def test_a_sessions_key_is_in_nothing_that_is_written_down() -> None:
    assert "key-of-a-session" not in session_target("key-of-a-session")
    assert session_target("a") != session_target("b")
    assert session_target("\ud800")


names = st.sampled_from(["", "a", "b"])


@given(st.lists(st.tuples(st.integers(1, 3), names, st.booleans())), st.integers(1, 3), names)
def test_nobody_is_refused_for_another(said: list[tuple[int, str, bool]], user: int, session: str) -> None:
    rights, _, _ = known()
    mine = admission(user=user, session=session)
    for other, name, whole in said:
        rights.hear(order(user_target(other) if whole or not name else session_target(name)))
    concerned = any(other == user for other, name, whole in said if whole or not name)
    concerned |= any(name == session for _, name, whole in said if name and not whole)
    assert rights.refuses(mine) is concerned


@given(st.text(), st.integers(0, 2**53), st.booleans())
def test_an_order_is_read_as_it_was_written(target: str, at_ms: int, lasts: bool) -> None:
    if target.isascii() or target.encode(errors="ignore").decode() == target:
        assert read_order(Withdrawal(target, at_ms, lasts).write()) == Withdrawal(target, at_ms, lasts)
