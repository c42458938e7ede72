"""``memory_bridge``: what is emitted comes out of streams as a gateway sends it, and what does not is told of."""

import asyncio
import threading
import time
import unittest
from collections.abc import Iterator

import pytest

import bridge
from bridge import Emitter, Settings, emit, emit_many
from bridge.gateway import Principal
from bridge.testing import MemoryBridge, StreamRefusedError, TestBridgeError, capture, memory_bridge
from tests.support.orders import OrderLost, OrderPaid, OrderShipped, OrderTracked, SaleBegan, order, registry

NOWHERE = Settings(broker_url="redis://127.0.0.1:1/0")


@pytest.fixture
def running() -> Iterator[MemoryBridge]:
    with memory_bridge(registry) as found:
        yield found


def paid(number: str = "7", user: int | None = 1) -> OrderPaid:
    return OrderPaid(user_id=user, number=number)


def test_each_client_gets_what_is_for_it_in_order_and_nothing_else(running: MemoryBridge) -> None:
    mine, other, topical = running.connect(1), running.connect(2), running.connect(3, topics=[order(42)])
    events = [paid("a"), paid("b", user=2), OrderTracked(order=42), SaleBegan(percent=10), paid("c")]
    assert emit_many(events) == 5
    assert [(one.id, one.type) for one in (mine.next(), mine.next(), mine.next())] == [
        (str(events[0].event_id), "order.paid"),
        (str(events[3].event_id), "order.sale"),
        (str(events[4].event_id), "order.paid"),
    ]
    assert [other.next().payload, other.next().payload] == [{"number": "b"}, {"percent": 10}]
    assert [one.type for one in topical.events] == ["order.tracked", "order.sale"]
    for stream in (mine, other):
        stream.nothing()
    running.all_published()


def test_a_frame_is_the_very_bytes(running: MemoryBridge) -> None:
    stream = running.connect(1)
    event = paid("ä\n")
    emit(event)
    frame = stream.next()
    assert frame.raw == f'id: {event.event_id}\nevent: order.paid\ndata: {{"number":"ä\\n"}}\n\n'.encode()
    assert [one.comment for one in stream.frames if one.comment] == ["live"]


def test_who_comes_back_gets_what_it_missed(running: MemoryBridge) -> None:
    stream = running.connect(1)
    emit(paid("a"))
    known = stream.next().id
    stream.close()
    emit_many([paid("b"), paid("c")])
    back = running.connect(1, last_event_id=known)
    assert [back.next().payload["number"], back.next().payload["number"]] == ["b", "c"]
    stranger = running.connect(1, last_event_id="01900000-0000-7000-8000-000000000000")
    assert stranger.next().type == "stream.reset"


def test_what_the_gateway_refuses_is_an_error_with_its_sentence(running: MemoryBridge) -> None:
    with pytest.raises(StreamRefusedError, match="422: In topics, ") as refused:
        running.connect(1, topics=["room:1"])
    assert refused.value.status == 422
    with pytest.raises(StreamRefusedError, match="403: You may not hear order:42"):
        running.connect(Principal(user=1, topics=[order(41)]), topics=[order(42)])
    with pytest.raises(StreamRefusedError, match="422: There is no sales among the categories"):
        running.connect(1, categories=["sales"])


def test_a_failed_event_is_tried_again_when_its_time_has_come(running: MemoryBridge) -> None:
    emit(OrderShipped(user_id=1, trouble="for now"))
    waiting = running.only_retry(OrderShipped)
    assert (waiting.attempts, waiting.error_class, waiting.message) == (1, "ConnectionError", "the carrier is away")
    running.advance(3600)
    assert running.only_retry(OrderShipped).attempts > 1
    began = time.monotonic()
    running.advance_until_ended()
    letter = running.only_dead_letter(OrderShipped)
    assert letter.attempts == Settings().retry_attempts and not running.retries
    assert letter.why == "ConnectionError at stage extract: the carrier is away"
    assert time.monotonic() - began < 30, "no test waits for a retry"
    assert running.balance.dead == 1 and running.balance.balanced


def test_failures_of_a_test_say_what_became_of_each_event(running: MemoryBridge) -> None:
    stream = running.connect(1)
    emit_many([paid("x", user=None), OrderShipped(user_id=1, trouble="gone"), paid("y", user=2)])
    with pytest.raises(AssertionError) as failure:
        stream.next()
    text = str(failure.value)
    assert text.startswith("The stream of 1 was to get an event, and nothing more came.\nEmitted:\n  1. OrderPaid ")
    assert "skipped: its mapping names no recipient" in text
    assert "dead-lettered after attempt 1: bridge.PermanentError at stage extract: no such carrier" in text
    assert "published to user:2" in text
    assert len(running.skipped) == 1
    with pytest.raises(AssertionError, match=r"Everything was to be published, and 2 is not\.\nEmitted:"):
        running.all_published()
    with pytest.raises(AssertionError, match=r"One OrderPaid was to be dead-lettered, not 0\.\nEmitted:"):
        running.only_dead_letter(OrderPaid)
    emit(paid("z"))
    with pytest.raises(AssertionError, match=r'to get nothing, and got order\.paid [-\w]+: {"number":"z"}'):
        stream.nothing()


def test_every_emitter_sends_there_and_is_afterwards_as_before() -> None:
    early = Emitter(NOWHERE, registry)
    try:
        early.emit(paid("before"))
        with memory_bridge(registry) as running:
            stream = running.connect(1)
            early.emit(paid("early"))
            late = Emitter(NOWHERE, registry, strict=True)
            assert late.emit(paid("late"))
            configured = bridge.configure(NOWHERE, registry)
            emit(paid("configured"))
            for emitter in (early, configured):
                assert emitter.flush()
            assert {one.payload["number"] for one in stream.events} == {"early", "late", "configured"}
        assert not early.flush(0) and early.counts["accepted"] == 1
        configured.emit(paid("after"))
        assert not configured.flush(0), "it is not heard by a bridge that has ended"
    finally:
        early.close(0)
        bridge.producer.default._emitter = None
        configured.close(0)


def test_a_disconnect_is_heard(running: MemoryBridge) -> None:
    stream = running.connect(1)
    bridge.disconnect(1, registry=registry)
    running.settle()
    assert stream.ended
    with pytest.raises(AssertionError, match="the stream has ended"):
        stream.next()


def test_it_works_in_a_running_loop_and_extractors_run_on_the_tests_thread(running: MemoryBridge) -> None:
    async def emits() -> str:
        stream = running.connect(1)
        await asyncio.gather(*(asyncio.to_thread(emit, paid(str(number))) for number in range(20)))
        return ",".join(sorted(one.payload["number"] for one in stream.events))

    assert asyncio.run(emits()) == ",".join(sorted(map(str, range(20))))


def test_a_capture_takes_all_and_that_is_said(running: MemoryBridge) -> None:
    stream = running.connect(1)
    with capture(registry) as emitted:
        emit(paid())
        with pytest.raises(AssertionError, match=r"capture .* takes every event now"):
            stream.next()
        with pytest.raises(TestBridgeError, match="use one of the two"), memory_bridge(registry):
            pass
    assert emitted.only(OrderPaid).number == "7"


def test_nothing_is_left_of_it() -> None:
    before = threading.active_count()
    with memory_bridge(registry) as running:
        running.connect(1)
        emit(paid())
        emit(OrderLost(user_id=1))
    assert threading.active_count() == before


class TestOfUnittest(unittest.TestCase):
    def setUp(self) -> None:
        self.bridge = self.enterContext(memory_bridge(registry))

    def test_it_works_without_pytest(self) -> None:
        stream = self.bridge.connect(1)
        emit(paid())
        self.assertEqual(stream.next().payload, {"number": "7"})
