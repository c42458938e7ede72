"""How fast a replay may go, and when it must stop."""

import pytest

from bridge.model.redrive import RedriveState, RedriveStatus
from bridge.operations.redrive.sending import BRAKE_MIN, WINDOW, WINDOW_MIN, RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def a_status(**numbers: float) -> RedriveStatus:
    values = {"total": 10_000, "pending": 10_000, **numbers}
    return RedriveStatus(redrive_id="r", state=RedriveState.RUNNING, selection={}, who="me", created_ms=0, **values)


def under_way_after(seconds: float, *, workers_per_s: float, at_once: int = 1) -> int:
    """The most letters that were under way, where workers end so many a second, so many at once."""
    clock = Clock()
    pace = RateLimiter(a_status(), clock=clock)
    under_way = done = most = 0
    owed = 0.0
    while clock.now_s < seconds:
        status = a_status(total=10**6, pending=10**6, under_way=under_way, succeeded=done)
        under_way += pace.room(status)
        most = max(most, under_way)
        clock.now_s += 0.02
        owed = min(owed + workers_per_s * 0.02, under_way)
        if owed >= min(at_once, under_way):
            ended = int(owed)
            under_way, done, owed = under_way - ended, done + ended, owed - ended
    return most


def test_fast_workers_are_given_enough_to_do_and_a_stop_cannot_call_back_more() -> None:
    assert WINDOW * 0.9 < under_way_after(5, workers_per_s=9000) <= WINDOW
    assert RateLimiter(a_status()).room(a_status(pending=3)) == 3


def test_new_events_wait_behind_half_a_second_of_redriven_ones(clock: Clock) -> None:
    """SQS mixes what it redrives with new traffic, which then waits for all of it."""
    assert under_way_after(5, workers_per_s=1000) <= 600
    assert under_way_after(20, workers_per_s=50) == WINDOW_MIN
    assert under_way_after(20, workers_per_s=50, at_once=50) == WINDOW_MIN


def test_letters_of_a_queue_that_nobody_consumes_do_not_hold_up_the_others_for_ever(clock: Clock) -> None:
    pace = RateLimiter(a_status(), clock=clock)
    assert pace.room(a_status(under_way=WINDOW_MIN)) == 0
    clock.now_s += 3
    assert pace.room(a_status(under_way=WINDOW_MIN)) == 3 * WINDOW_MIN
    clock.now_s += 3600
    assert pace.room(a_status(under_way=WINDOW)) == 0


def test_a_rate_is_kept_over_time_and_saves_up_only_a_little(clock: Clock) -> None:
    status = a_status(rate=100)
    pace = RateLimiter(status, clock=clock)
    sent = 0
    for _ in range(1000):
        clock.now_s += 0.01
        room = pace.room(status)
        pace.spend(room)
        sent += room
    assert sent == pytest.approx(1000, abs=2)
    clock.now_s += 3600
    assert pace.room(status) == 20


def test_what_went_beyond_the_rate_is_paid_back(clock: Clock) -> None:
    """A message that goes back whole may hold more events than the rate had room for."""
    status = a_status(rate=10)
    pace = RateLimiter(status, clock=clock)
    clock.now_s = 1
    assert pace.room(status)
    pace.spend(50)
    assert pace.is_spent(status)
    clock.now_s += 4
    assert pace.room(status) == 0
    clock.now_s += 1
    assert pace.room(status)
    assert not pace.is_spent(a_status())


def test_a_canary_goes_first_and_its_last_outcome_is_awaited() -> None:
    pace = RateLimiter(a_status())
    assert pace.room(a_status(canary=50)) == 50
    assert pace.room(a_status(canary=50, canary_sent=30, under_way=30)) == 20
    assert pace.room(a_status(canary=50, canary_sent=50, under_way=1, succeeded=49)) == 0
    assert pace.room(a_status(canary=50, canary_sent=50, succeeded=50)) > 50


def test_a_canary_of_which_some_were_left_out_does_not_hold_up_the_rest() -> None:
    """They were gone, or were sent by another replay: no outcome will come."""
    assert RateLimiter(a_status()).room(a_status(canary=50, canary_sent=50, succeeded=40)) > 0


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("canary", [5, 50, 500])
def test_a_canary_that_fails_too_often_stops_within_its_size(canary: int, share: float) -> None:
    pace = RateLimiter(a_status())
    failed, finished = int(canary * share), canary
    assert pace.brake(a_status(canary=canary, max_failures=0.1, failed=failed, succeeded=finished - failed))


def test_the_brake_does_not_wait_for_what_cannot_be_made_good() -> None:
    pace = RateLimiter(a_status())
    assert not pace.brake(a_status(canary=50, max_failures=0.1, failed=5))
    assert pace.brake(a_status(canary=50, max_failures=0.1, failed=6))


def test_without_a_canary_a_few_failures_at_the_beginning_mean_nothing() -> None:
    pace = RateLimiter(a_status())
    assert not pace.brake(a_status(max_failures=0.5, failed=BRAKE_MIN // 2))
    assert pace.brake(a_status(max_failures=0.5, failed=BRAKE_MIN // 2 + 1))
    assert not pace.brake(a_status(failed=9999))


def test_failures_of_earlier_turns_were_seen_by_whoever_resumed() -> None:
    pace = RateLimiter(a_status(failed=40, succeeded=10))
    assert not pace.brake(a_status(canary=50, max_failures=0.1, failed=45, succeeded=55))
    assert "6 of 50 failed again; the limit is 10%" in pace.brake(
        a_status(canary=50, max_failures=0.1, failed=46, succeeded=54)
    )
