"""A producer that accepts and no longer sends is a fault, and so is a thread that does not run; the rest is noted."""

from typing import Any

import pytest

from bridge.operations.liveness import notes_of, producer_faults, thread_faults
from bridge.runtime.reports import ProducerReport, Reported
from bridge.runtime.supervision import Supervised


def said(age_s: float = 1.0, **figures: Any) -> Reported:
    return Reported(
        producer="1-x", age_s=age_s, report=ProducerReport(**{"host": "web-1", "pid": 4711, "started": "", **figures})
    )


BROKEN = Supervised(name="bridge-emitter", running=False, restarts=3, error="ValueError", failed_age_s=2.0)


@pytest.mark.parametrize(
    "healthy",
    [
        said(),
        said(accepted_age_s=0.1, waiting=500, oldest_s=0.5),
        said(waiting=90_000, oldest_s=600, sent_age_s=0.2),  # it works off what an outage left
        said(sent_age_s=5_000.0),  # idle
        said(age_s=3_600, accepted_age_s=600.0),  # idle, and frozen by its platform
        said(age_s=60, left=True, abandoned=3),  # an audit tells of it
        said(age_s=4_000, waiting=3),  # long gone; an audit tells of it
        said(threads=(Supervised(name="t", running=True, restarts=1, error="X", failed_age_s=60.0),)),
    ],
)
def test_a_producer_that_sends_or_has_nothing_to_send_is_no_fault(healthy: Reported) -> None:
    assert list(producer_faults([healthy])) == []


def test_a_producer_that_does_not_send_is_named_with_its_trouble() -> None:
    (sentence,) = producer_faults([said(waiting=7, oldest_s=9, sent_age_s=10, trouble="OSError: no\x1b[0m way")])
    assert "web-1:4711 accepts and does not send" in sentence
    assert "oldest of 7 events waits for 9 s" in sentence
    assert "\x1b" not in sentence


def test_a_producer_whose_thread_does_not_run_is_named() -> None:
    (sentence,) = producer_faults([said(threads=(BROKEN,))])
    assert "web-1:4711: bridge-emitter fails (ValueError" in sentence


@pytest.mark.parametrize(
    ("silent", "what"),
    [
        (said(age_s=13, accepted_age_s=1.0), "killed, or is frozen"),
        (said(age_s=13, accepted_age_s=99.0, waiting=3), "3 events were in its memory"),
        (said(age_s=9_999, accepted_age_s=99.0, spooled=3), "3 events wait in its spool"),
    ],
)
def test_a_producer_that_fell_silent_is_named(silent: Reported, what: str) -> None:
    (sentence,) = producer_faults([silent])
    assert what in sentence


def test_threads_are_in_trouble_while_they_wait_and_for_a_while_after() -> None:
    fine = Supervised(name="t", running=True)
    again = Supervised(name="t", running=True, restarts=1, error="X", failed_age_s=3.0)
    assert len(list(thread_faults("Worker w", [fine, BROKEN, again]))) == 2


def test_what_was_not_accepted_is_noted_and_no_fault() -> None:
    told = said(unmapped=1_200, unmapped_classes=("shop.Ordered",), refused=2, set_aside=1)
    assert list(producer_faults([told])) == []
    assert notes_of(told.report) == (
        "1,200 of no mapped class (shop.Ordered): see BRIDGE_REGISTRY",
        "2 refused",
        "1 spool files set aside as unreadable",
    )
