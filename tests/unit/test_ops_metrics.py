"""A status as metrics, from fixed numbers."""

from dataclasses import replace

from prometheus_client.core import Metric

from bridge.catalogs.finance.catalog import REGISTRY
from bridge.operations.status import Status
from bridge.ops.monitoring import families
from bridge.settings import Settings
from tests.support.fixed_status import STATUS


def samples(status: Status = STATUS) -> dict[str, float]:
    found: list[Metric] = list(families(status, REGISTRY, Settings()))
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in found
        for sample in family.samples
    }


def test_events_have_their_outcome_type_and_category() -> None:
    found = {name: value for name, value in samples().items() if name.startswith("bridge_events_total")}
    # What has not happened yet is there with 0: an alert sees the first time, too.
    assert found["bridge_events_total category=import outcome=dead type=import.completed"] == 0
    assert {name: value for name, value in found.items() if value} == {
        "bridge_events_total category=import outcome=published type=import.completed": 70,
        # Of what was no message, or of a type that the registry no longer has.
        "bridge_events_total category= outcome=dead type=": 1,
        "bridge_events_total category= outcome=dead type=gone.type": 2,
    }


def test_the_histogram_is_cumulated_and_in_seconds() -> None:
    found = samples()
    assert found["bridge_publish_delay_seconds_bucket le=0.005"] == 2
    assert found["bridge_publish_delay_seconds_bucket le=0.1"] == 2
    assert found["bridge_publish_delay_seconds_bucket le=300.0"] == 3
    assert found["bridge_publish_delay_seconds_bucket le=+Inf"] == found["bridge_publish_delay_seconds_count"] == 4
    assert found["bridge_publish_delay_seconds_sum"] == 500.21
    assert found["bridge_extract_seconds_count"] == 0


def test_producers_are_summed_by_host() -> None:
    found = samples()
    assert found["bridge_producer_waiting_events host=a"] == 11
    assert found["bridge_producer_spooled_events host=b"] == 7
    assert found["bridge_producers"] == 3


def test_books_and_failures_are_told() -> None:
    found = samples()
    assert found["bridge_books_difference"] == 1
    assert found["bridge_events_unbooked_total"] == 1
    assert found["bridge_dead_letters"] == 2
    assert found["bridge_dead_letters_evicted_total"] == 2
    assert found["bridge_retries_overdue_seconds"] == 12


def test_gateways_are_told_together() -> None:
    found = samples()
    assert found["bridge_gateway_connections"] == 40
    assert found["bridge_gateway_events_sent_total"] == 900
    assert found["bridge_gateway_cuts_total reason=stalled"] == 3
    assert found["bridge_gateway_replays_total"] == 0


def test_what_the_broker_does_not_say_is_left_out() -> None:
    assert "bridge_messages_claimed" in samples()
    assert "bridge_messages_claimed" not in samples(replace(STATUS, claimed=None))
