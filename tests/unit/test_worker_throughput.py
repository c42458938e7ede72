"""How much a worker takes at once: what it gets done in a time, by experience, and no more than a bundle."""

import pytest

from bridge.celery_runtime import redis_claims as pace_module
from bridge.celery_runtime.redis_claims import ThroughputEstimator


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace_module, "monotonic", made)
    return made


def learned(clock: Clock, *, messages: int, events: int, took_s: float) -> ThroughputEstimator:
    pace = ThroughputEstimator()
    pace.begin("tag", messages, events)
    clock.now_s += took_s
    pace.end("tag")
    return pace


def test_nothing_is_taken_in_advance_without_experience() -> None:
    assert (ThroughputEstimator().messages_in(0.25, events_max=2_000), ThroughputEstimator().events_in(0.25)) == (0, 0)


def test_slow_messages_are_taken_as_far_as_they_are_done_in_time(clock: Clock) -> None:
    pace = learned(clock, messages=4, events=40, took_s=0.5)
    assert pace.messages_in(0.25, events_max=2_000) == 2
    assert pace.events_in(0.25) == 20


def test_fast_messages_are_taken_as_far_as_their_events_fit(clock: Clock) -> None:
    pace = learned(clock, messages=10, events=1_000, took_s=0.05)
    assert pace.events_in(0.25) == pytest.approx(5_000, abs=1)
    assert pace.messages_in(0.25, events_max=2_000) == pytest.approx(20, abs=1)


def test_what_is_new_counts_more_and_more(clock: Clock) -> None:
    pace = learned(clock, messages=1, events=1, took_s=0.01)
    for _ in range(50):
        pace.begin("slow", 1, 1)
        clock.now_s += 0.25
        pace.end("slow")
    assert pace.messages_in(0.25, events_max=2_000) == pytest.approx(1, abs=1)


def test_it_can_begin_anew_and_knows_no_strangers(clock: Clock) -> None:
    pace = learned(clock, messages=1, events=1, took_s=0.01)
    pace.end("never begun")
    assert pace.events_in(0.25) > 0
    pace.forget()
    assert pace.events_in(0.25) == 0
