"""Who signs out of Django is told of soon, each user once, by one thread that no request waits for."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.contrib.django import signing_out
from bridge.contrib.django.signing_out import _SignOuts
from bridge.model.errors import StoreError
from bridge.model.registry import IdType
from tests.support.waiting import WAIT_S, wait_until


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(signing_out, "_tell", found.extend)
    monkeypatch.setattr(signing_out, "_known", _SignOuts())
    monkeypatch.setattr(signing_out, "SETTLE_S", 0.02)
    return found


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "bridge-django-sign-outs"]


def no_thread() -> None:
    wait_until(lambda: not threads(), what="the thread ends with its work")


def test_a_crowd_that_signs_out_at_once_is_told_of_by_one_thread_and_none_is_dropped(told: list[Any]) -> None:
    for user in range(1_000):
        signing_out._tell_soon(user)
    assert len(threads()) <= 1
    wait_until(lambda: len(told) == 1_000, what="all are told of")
    assert told == [*range(1_000)]
    no_thread()
    signing_out._tell_soon(7)
    wait_until(lambda: told[1_000:] == [7], what="another one is started")
    no_thread()


def test_a_user_is_told_of_once_and_not_before_the_last_session_has_ended(
    told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_out, "SETTLE_S", 0.3)
    for user in (1, 2, 1):
        signing_out._tell_soon(user)
    last = time.monotonic()
    wait_until(lambda: len(told) == 2, what="both are told of")
    assert time.monotonic() - last >= 0.29
    assert told == [2, 1]
    no_thread()


def test_one_that_finds_no_room_is_dropped_with_a_line(
    told: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(signing_out, "WAITING_MAX", 2)
    monkeypatch.setattr(signing_out, "SETTLE_S", 0.3)
    for user in (1, 2, 3, 2):
        signing_out._tell_soon(user)
    (line,) = caplog.messages
    assert "sign_out_untold users=1" in line and "2 users wait already" in line and "within five minutes" in line
    wait_until(lambda: len(told) == 2, what="the others are told of")
    no_thread()


def test_a_forked_child_tells_by_a_thread_of_its_own_and_not_what_its_parent_tells(
    told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_out, "SETTLE_S", 0.3)
    signing_out._tell_soon(1)
    with signing_out._known._lock:  # as a thread of the parent may hold it
        child = os.fork()
        if child == 0:
            signing_out._tell_soon(2)
            deadline = time.monotonic() + WAIT_S
            while not told and time.monotonic() < deadline:
                time.sleep(0.01)
            os._exit(0 if told == [2] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    wait_until(lambda: told == [1], what="the parent's is told of")
    no_thread()


class Store:
    """Ends streams, until it is away."""

    def __init__(self, away_after: int) -> None:
        self.rights = self
        self.ended: list[str] = []
        self._left = away_after

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def end_streams(self, target: str) -> int:
        if len(self.ended) == self._left:
            raise StoreError("Redis is away.")
        self.ended.append(target)
        return 1


def telling(monkeypatch: pytest.MonkeyPatch, store: Store) -> Callable[..., None]:
    """What tells, with that store behind it."""
    registry = SimpleNamespace(users=IdType.of(int))
    monkeypatch.setattr(signing_out, "load_configured", lambda _: (None, registry))
    monkeypatch.setattr("bridge.wiring.open_store", lambda _: store)
    return lambda *users: signing_out._tell(deque(users))


def test_an_id_of_another_kind_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(away_after=9)
    telling(monkeypatch, store)(1, "x", 2)
    assert store.ended == ["user:1", "user:2"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_it_says_how_many_are_untold(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(away_after=1)
    telling(monkeypatch, store)(1, 2, 3)
    assert store.ended == ["user:1"]
    (line,) = caplog.messages
    assert "users=2" in line and line.endswith("Redis is away.")


def test_nothing_leaves_a_process_in_which_a_test_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(away_after=9)
    tell = telling(monkeypatch, store)
    monkeypatch.setattr(signing_out, "is_test", lambda: True)
    tell(1)
    assert store.ended == []
    monkeypatch.setattr(signing_out, "is_under_test", lambda: True)
    tell(2)
    assert store.ended == ["user:2"]
