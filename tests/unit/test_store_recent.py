"""What samples of the counts say of the last minute."""

import pytest

from bridge.model.accounting import Recent
from bridge.operations.health import DEATHS_MIN, DEATHS_SHARE_MAX, deaths
from bridge.redis_adapter.reports import SAMPLED, WINDOW_MS, read_recent

NOW_MS = 1_000_000_000


def sample(age_ms: int, **counts: int) -> bytes:
    return " ".join(map(str, (NOW_MS - age_ms, *(counts.get(name, 0) for name in SAMPLED)))).encode()


def test_the_newest_sample_that_is_a_minute_old_is_compared_with() -> None:
    samples = [sample(5_000, published=900), sample(WINDOW_MS, published=500, dead=10), sample(2 * WINDOW_MS - 1)]
    recent = read_recent(samples, {"published": 1_000, "dead": 130, "dead_bundled": 0}, NOW_MS)
    assert (recent.seconds, recent.ended, recent.dead) == (60, 620, 120)


def test_a_young_bridge_is_judged_since_its_first_sample() -> None:
    recent = read_recent([sample(2_000, published=5), sample(9_000)], {"published": 76, "dead": 24}, NOW_MS)
    assert (recent.seconds, recent.dead_share) == (9, 0.24)


def test_letters_that_hold_whole_messages_count_their_events() -> None:
    assert read_recent([sample(9_000)], {"dead": 1, "dead_bundled": 99}, NOW_MS).dead == 100


@pytest.mark.parametrize(
    "samples",
    [[], [b"rubbish", b"1 2", b"\xff"], [sample(2 * WINDOW_MS + 1)]],
    ids=["none", "unreadable", "of long ago"],
)
def test_without_a_sample_of_the_last_minutes_nothing_is_said(samples: list[bytes]) -> None:
    assert read_recent(samples, {"dead": 100}, NOW_MS) == Recent()


def test_counts_that_were_emptied_are_no_deaths() -> None:
    assert read_recent([sample(9_000, published=500, dead=9)], {}, NOW_MS).dead == 0


@pytest.mark.parametrize(
    ("ended", "dead", "is_fault"),
    [
        (100, 24, True),
        (100, round(100 * DEATHS_SHARE_MAX), True),
        (1_000, 10, False),
        (2, DEATHS_MIN - 1, False),
        (0, 0, False),
    ],
)
def test_a_share_of_deaths_is_a_fault_from_a_threshold_on(ended: int, dead: int, is_fault: bool) -> None:
    assert bool(list(deaths(Recent(seconds=60, ended=ended, dead=dead)))) is is_fault


def test_what_was_redriven_or_discarded_meanwhile_is_no_death_any_more() -> None:
    recent = read_recent([sample(9_000)], {"published": 80, "dead": 20, "dead_bundled": 20}, NOW_MS)
    assert (recent.remaining(20).dead, recent.remaining(10).dead, recent.remaining(0).dead) == (40, 20, 0)
