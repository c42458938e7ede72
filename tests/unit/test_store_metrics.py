"""Histograms: what is added to which bucket, and what is read back."""

from bridge.model.counting import PUBLISH_DELAY_MS, Histogram

SMALL = Histogram("wait_ms", (10, 100))


def test_each_value_falls_into_the_first_bucket_that_holds_it() -> None:
    assert dict(SMALL.tally([1, 10, 10.5, 100, 101])) == {
        "wait_ms:10": 2,
        "wait_ms:100": 2,
        "wait_ms:inf": 1,
        "wait_ms:sum": 222,
    }


def test_a_value_below_zero_counts_as_zero() -> None:
    assert dict(SMALL.tally([-50, 5])) == {"wait_ms:10": 2, "wait_ms:sum": 5}


def test_no_values_add_nothing() -> None:
    assert SMALL.tally([]) == []


def test_what_is_read_back_is_cumulated() -> None:
    stored = dict(SMALL.tally([1, 11, 12, 1000]))
    distribution = SMALL.read({**stored, "published:import.completed": 4})
    assert distribution.buckets == ((10, 1), (100, 3))
    assert distribution.count == 4
    assert distribution.sum == 1024


def test_an_empty_hash_reads_as_an_empty_histogram() -> None:
    distribution = PUBLISH_DELAY_MS.read({})
    assert distribution.count == distribution.sum == 0
    assert {count for _, count in distribution.buckets} == {0}
    assert [bound for bound, _ in distribution.buckets][-1] == 300_000
