"""``bridge.testing.capture``: all that is emitted is recorded as a real emit judges it, and nothing is sent."""

import asyncio
import os
import threading
import unittest
from collections.abc import Iterator

import pytest

import bridge
from bridge import Emitter, EventRefusedError, Settings, SSEEventHandler, emit, emit_many, flush
from bridge.producer import default
from bridge.testing import Emitted, capture
from tests.support.orders import OrderLost, OrderPaid, OrderShipped, SaleBegan, registry

NOWHERE = Settings(broker_url="redis://127.0.0.1:1/0")


@pytest.fixture
def emitted() -> Iterator[Emitted]:
    with capture(registry) as found:
        yield found


def paid(number: str = "7") -> OrderPaid:
    return OrderPaid(user_id=1, number=number)


def test_what_is_emitted_is_found_by_its_class(emitted: Emitted) -> None:
    assert emit(paid())
    assert emit_many([OrderShipped(user_id=1), OrderShipped(user_id=2)]) == 2
    assert emitted.only(OrderPaid).number == "7"
    assert [event.user_id for event in emitted.of(OrderShipped)] == [1, 2]
    assert len(emitted) == 3 and [type(event) for event in emitted] == [OrderPaid, OrderShipped, OrderShipped]
    assert flush(0)


def test_what_happens_to_an_event_after_emit_does_not_matter(emitted: Emitted) -> None:
    event = OrderPaid(user_id=1, number="7", lines=["tea"])
    emit(event)
    event.lines.append("salt")
    assert emitted.only(OrderPaid).lines == ["tea"]
    assert emitted.only(OrderPaid).event_id == event.event_id


def test_a_failure_says_what_was_emitted_instead(emitted: Emitted) -> None:
    emit(OrderShipped(user_id=4))
    emit(OrderLost(user_id=5))
    with pytest.raises(AssertionError) as failure:
        emitted.only(OrderPaid)
    text = str(failure.value)
    assert text.startswith("One OrderPaid was expected, not 0. Emitted:\n  1. OrderShipped(")
    assert "user_id=4" in text and "Refused:\n  1. " in text and "OrderLost has no mapping" in text


def test_nothing_means_that_nothing_was_tried_either(emitted: Emitted) -> None:
    emitted.nothing()
    emit(OrderLost(user_id=5))
    assert not emitted
    with pytest.raises(AssertionError, match=r"Nothing was to be emitted\. Nothing was emitted\.\nRefused:\n.*mapping"):
        emitted.nothing()
    emitted.clear()
    emit(paid())
    with pytest.raises(AssertionError, match=r"Nothing was to be emitted\. Emitted:\n  1\. OrderPaid"):
        emitted.nothing()


def test_what_emit_refuses_is_recorded_with_the_sentence_of_the_log(emitted: Emitted) -> None:
    assert not emit(OrderPaid(user_id=1, number=7))  # type: ignore[arg-type]
    (refused,) = emitted.refused
    assert refused.event.number == 7
    assert "was not accepted: It does not fit OrderPaid" in refused.reason
    with pytest.raises(EventRefusedError):
        Emitter(NOWHERE, registry, strict=True).emit(OrderLost(user_id=1))
    assert len(emitted.refused) == 2


def test_each_emitter_is_captured_whenever_it_was_made(emitted: Emitted) -> None:
    strict = Emitter(NOWHERE, registry, strict=True)
    assert strict.emit(paid("strict")) and Emitter(NOWHERE, registry).emit(paid("own"))
    assert [event.number for event in emitted.of(OrderPaid)] == ["strict", "own"]


def test_an_emitter_that_is_in_use_sends_nothing_while_it_is_captured() -> None:
    emitter = Emitter(NOWHERE, registry)
    held = emitter.emit
    try:
        held(paid("before"))
        with capture(registry) as emitted:
            assert held(paid("within"))
        held(paid("after"))
        assert [event.number for event in emitted] == ["within"]
        assert emitter.counts["accepted"] == 2
    finally:
        emitter.close(0)


def test_no_thread_is_started_and_no_report_is_sent(emitted: Emitted) -> None:
    before = threading.active_count()
    for event in (paid(), OrderLost(user_id=1), paid()):
        Emitter(NOWHERE, registry).emit(event)
        emit(event)
    assert threading.active_count() == before


def test_the_inner_capture_takes_all_and_the_outer_one_goes_on_behind_it() -> None:
    with capture(registry) as outer:
        emit(paid("1"))
        with capture() as inner:
            emit(paid("2"))
        emit(paid("3"))
    assert [event.number for event in outer] == ["1", "3"]
    assert [event.number for event in inner] == ["2"]


def test_everything_is_afterwards_as_it_was_before() -> None:
    before = default._emitter
    with pytest.raises(ZeroDivisionError), capture(registry):
        assert default._emitter is not before
        raise ZeroDivisionError
    assert default._emitter is before


def test_what_the_code_under_test_configures_is_used_and_stays() -> None:
    before = default._emitter
    with capture() as emitted:
        configured = bridge.configure(NOWHERE, registry)
        emit(paid())
        assert emitted.only(OrderPaid).number == "7"
    try:
        assert default._emitter is configured
    finally:
        default._emitter = before


def test_threads_and_tasks_are_captured(emitted: Emitted) -> None:
    async def task(number: str) -> None:
        emit(paid(number))

    async def tasks() -> None:
        await asyncio.gather(*(task(str(number)) for number in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(tasks(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(emitted) == 100


def test_what_a_forked_child_emits_is_not_sent_either() -> None:
    emitter = Emitter(NOWHERE, registry)
    emitter.emit(paid("in use"))
    try:
        with capture(registry) as emitted:
            child = os.fork()
            if not child:
                emitter.emit(paid("in the child"))
                os._exit(emitter.counts["accepted"])
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not emitted
    finally:
        emitter.close(0)


async def test_a_handler_publishes_nothing_and_is_judged(emitted: Emitted) -> None:
    handler = SSEEventHandler(publisher=None, registry=registry)  # type: ignore[arg-type]
    await handler.handle(SaleBegan(percent=10))
    await handler.handle(OrderShipped(user_id=1, trouble="for now"))
    assert emitted.only(SaleBegan).percent == 10
    assert [one.reason for one in emitted.refused] == ["OrderShipped was not published: the carrier is away"]


class TestOfUnittest(unittest.TestCase):
    def setUp(self) -> None:
        self.emitted = self.enterContext(capture(registry))

    def test_it_works_without_pytest(self) -> None:
        emit(paid())
        self.assertEqual(self.emitted.only(OrderPaid).number, "7")
        with self.assertRaisesRegex(AssertionError, "One OrderShipped was expected, not 0"):
            self.emitted.only(OrderShipped)
