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


def _sizes(clock: Clock, *, delivery_s: float, message_s: float) -> list[int]:
    """Messages of ten events in each of many deliveries, which take so long by themselves, and for each message."""
    pace, sizes = ThroughputEstimator(), [1]
    for _ in range(300):
        pace.begin("tag", sizes[-1], 10 * sizes[-1])
        clock.now_s += delivery_s + message_s * sizes[-1]
        pace.end("tag")
        bundled = min(pace.messages_in(0.25, events_max=2_000), pace.events_in(0.25) // 10)
        sizes.append(max(1, bundled))
    return sizes


@pytest.mark.parametrize("delivery_s", [0.13, 0.17, 0.2, 0.24])
def test_what_a_delivery_takes_by_itself_does_not_keep_them_small(clock: Clock, delivery_s: float) -> None:
    sizes = _sizes(clock, delivery_s=delivery_s, message_s=0.0001)
    assert min(sizes[-50:]) > 50
    assert 10 * max(sizes) <= 2_000


def test_slow_messages_are_not_taken_together_for_that(clock: Clock) -> None:
    sizes = _sizes(clock, delivery_s=0.001, message_s=0.2)
    assert max(sizes) <= 2 and sum(sizes) / len(sizes) < 1.3


def test_it_can_begin_anew_and_knows_no_strangers(clock: Clock) -> None:
    pace = learned(clock, messages=1, events=1, took_s=0.01)
    pace.end("never begun")
    assert pace.events_in(0.25) > 0
    pace.forget()
    assert pace.events_in(0.25) == 0
