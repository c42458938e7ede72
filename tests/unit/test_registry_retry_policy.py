"""RetryPolicy: one pure, clamped function of the attempt and a die."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.registry import RetryPolicy
from tests.support.naming import shown


@pytest.mark.parametrize(
    "bad",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": 101},
        {"base_s": -0.1},
        {"base_s": float("nan")},
        {"cap_s": float("nan")},
        {"base_s": 2.0, "cap_s": 1.0},
        {"base_s": float("inf"), "cap_s": float("inf")},
        {"cap_s": float("inf")},
        {"cap_s": 31_536_001},
    ],
    ids=shown,
)
def test_a_policy_out_of_bounds_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="RetryPolicy"):
        RetryPolicy(**bad)


@pytest.mark.parametrize(
    "good",
    [{"attempts": 1}, {"attempts": 100}, {"base_s": 0}, {"base_s": 0, "cap_s": 0}, {"cap_s": 31_536_000}],
    ids=shown,
)
def test_a_policy_at_its_bounds_is_accepted(good: dict[str, Any]) -> None:
    RetryPolicy(**good)


def test_the_longest_wait_doubles_until_the_cap() -> None:
    policy = RetryPolicy(attempts=10, base_s=1.0, cap_s=60.0)
    assert [policy.delay_s(attempt, lambda: 1.0) for attempt in range(1, 10)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_wait_is_jittered_over_its_whole_range() -> None:
    policy = RetryPolicy(base_s=8.0)
    assert [policy.delay_s(2, partial(float, die)) for die in (0.0, 0.25, 0.5)] == [0.0, 4.0, 8.0]


@given(
    st.integers(1, 10**9),
    st.floats(0, 31_536_000),
    st.floats(0, 31_536_000),
    st.floats(0, 1, exclude_max=True),
)
def test_no_attempt_waits_longer_than_the_cap_or_less_than_nothing(
    attempt: int, one_s: float, other_s: float, die: float
) -> None:
    policy = RetryPolicy(base_s=min(one_s, other_s), cap_s=max(one_s, other_s))
    assert 0 <= policy.delay_s(attempt, lambda: die) <= policy.cap_s
