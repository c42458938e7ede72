"""``StoreRest``: it ends when the store answers, and lasts longer where that is of no use."""

from threading import Event

import pytest

from bridge import Settings
from bridge.celery_runtime import store_rest
from bridge.celery_runtime.store_rest import StoreRest
from bridge.local.redis_server import free_port
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_rest, "LOOK_S", 0.01)
    monkeypatch.setattr(store_rest, "REST_MAX_S", 0.05)


def test_it_lasts_until_the_store_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, went_on = iter([False, False, True]), Event()
    monkeypatch.setattr(store_rest, "_answers", lambda _: next(answers))
    rest = StoreRest(Settings(), went_on.set)
    rest.begin()
    rest.begin()
    assert rest.lasts
    assert went_on.wait(5)
    assert not rest.lasts


def test_who_rests_again_soon_rests_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_rest, "_answers", lambda _: True)
    rest, lasted = StoreRest(Settings(), lambda: None), []
    for _ in range(4):
        rest.begin()
        lasted.append(rest._rest_s)
        wait_until(lambda: not rest.lasts, what="it goes on")
    assert lasted == [0.01, 0.02, 0.04, 0.05]


def test_a_store_that_is_away_is_asked_on_until_it_is_stopped() -> None:
    rest = StoreRest(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"), lambda: None)
    rest.begin()
    rest.stop()
    assert rest.lasts
