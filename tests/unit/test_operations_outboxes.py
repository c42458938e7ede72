"""What operators are told of outboxes, by what the processes say that drain them."""

from bridge.operations.outboxes import outbox_faults, outbox_remarks, outboxes_of
from bridge.runtime.reports import OutboxReport, ProducerReport, Reported

SHOP = "postgresql://db/shop"


def said(age_s: float = 1.0, *, left: bool = False, sent_age_s: float = 0.5, **figures) -> Reported:
    outbox = OutboxReport(database=figures.pop("database", SHOP), **figures)
    report = ProducerReport(host="a", pid=1, started="", left=left, sent_age_s=sent_age_s, outboxes=(outbox,))
    return Reported(producer="1-a", age_s=age_s, report=report)


def faults(*reported: Reported) -> list[str]:
    return list(outbox_faults(outboxes_of(reported)))


def test_of_several_processes_that_drain_one_table_the_newest_report_counts() -> None:
    (outbox,) = outboxes_of([said(5, waiting=100, oldest_s=3), said(1, waiting=7, oldest_s=2)])
    assert (outbox.waiting, outbox.drained_by, outbox.oldest_s) == (7, 2, 3)
    assert [one.database for one in outboxes_of([said(database="b"), said(database="a")])] == ["a", "b"]


def test_an_outbox_from_which_events_are_sent_is_no_fault_however_much_waits() -> None:
    assert faults(said(waiting=900_000, oldest_s=300)) == []
    assert faults(said(60, waiting=5, oldest_s=9, sent_age_s=70), said(waiting=5, oldest_s=9)) == []


def test_an_outbox_from_which_nothing_is_sent_is_a_fault() -> None:
    (fault,) = faults(said(waiting=5, oldest_s=20, sent_age_s=30))
    assert fault == f"The outbox of {SHOP} holds 5 events, the oldest for 21 s, and none of them is sent."
    assert faults(said(waiting=5, foreign=5, oldest_s=20, sent_age_s=30)) == [], "they wait for another process"


def test_an_outbox_that_no_process_drains_is_a_fault_if_something_waits() -> None:
    for gone in (said(60, waiting=5), said(60, left=True, waiting=5)):
        assert faults(gone) == [
            f"The outbox of {SHOP} holds 5 events, and no process drains it: start one that emits there."
        ]
        assert faults(gone, said(waiting=5)) == []
    assert faults(said(60)) == []


def test_why_a_process_cannot_drain_is_told_while_it_is_heard() -> None:
    trouble = "postgresql://db/shop has no table bridge_outbox: make it\nnow."
    assert faults(said(5, trouble=trouble), said(1)) == [
        f"The outbox of {SHOP} is not drained: postgresql://db/shop has no table bridge_outbox: make it\\nnow."
    ]
    assert faults(said(60, trouble=trouble), said(1)) == []


def test_a_full_outbox_is_a_fault_and_what_is_set_aside_a_remark() -> None:
    assert faults(said(waiting=9, full=True)) == [
        f"The outbox of {SHOP} is full (9 events, BRIDGE_OUTBOX_MAX): emit refuses more until some are sent."
    ]
    remarks = list(outbox_remarks(outboxes_of([said(waiting=9, set_aside=2, foreign=3)])))
    assert "has 2 rows set aside" in remarks[0]
    assert "has 3 rows of types that the process draining it does not know" in remarks[1]
