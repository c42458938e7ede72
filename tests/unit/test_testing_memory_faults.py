"""Faults of a bridge in memory: each does what its name says, and the promises hold."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import Settings, emit, flush
from bridge.testing import MemoryBridge, memory_bridge
from tests.support.orders import OrderPaid, OrderShipped, registry


@pytest.fixture
def running() -> Iterator[MemoryBridge]:
    with memory_bridge(registry) as found:
        yield found


def paid(number: str) -> OrderPaid:
    return OrderPaid(user_id=1, number=number)


def test_while_the_broker_is_away_events_are_kept_and_that_is_said(
    running: MemoryBridge, caplog: pytest.LogCaptureFixture
) -> None:
    stream = running.connect(1)
    with caplog.at_level(logging.WARNING, "bridge"), running.broker_away():
        assert emit(paid("a"))
        stream.nothing()
        assert not flush(0.05)
        assert "1 more wait in the emitter: BrokerUnavailableError: The broker did not answer." in running.told()
    assert "bridge.broker.away waiting=1" in caplog.text
    assert stream.next().payload == {"number": "a"}
    running.all_published()


def test_a_spool_keeps_them_over_the_end_of_the_process(tmp_path: Path) -> None:
    settings = Settings(spool_dir=str(tmp_path), emit_exit_flush_s=0)
    with memory_bridge(registry, settings=settings) as first, first.broker_away():
        emit(paid("spooled"))
        first.settle()
        assert first.emitter.close(0), "nothing is abandoned"
        assert first.emitter.counts["spooled"] == 1
    with memory_bridge(registry, settings=settings) as second:
        stream = second.connect(1)
        emit(paid("own"))
        assert {stream.next().payload["number"], stream.next().payload["number"]} == {"spooled", "own"}


def test_what_is_delivered_twice_is_published_once(running: MemoryBridge) -> None:
    stream = running.connect(1)
    with running.duplicate_delivery():
        emit(paid("a"))
        emit(OrderShipped(user_id=1, trouble="gone"))
        assert [one.payload["number"] for one in stream.events] == ["a"]
    stream.next()
    stream.nothing()
    assert running.balance.balanced and running.balance.accepted == 2
    running.only_dead_letter(OrderShipped)


def test_a_slow_extractor_runs_out_of_time_and_delays_nobody_else(running: MemoryBridge) -> None:
    stream = running.connect(1)
    with running.slow_extractor(OrderShipped):
        emit(OrderShipped(user_id=1))
        emit(paid("a"))
        assert stream.next().type == "order.paid"
        assert running.only_retry(OrderShipped).error_class == "billiard.exceptions.SoftTimeLimitExceeded"
    running.advance_until_ended()
    assert stream.next().type == "order.shipped"
    running.all_published()


def test_while_the_store_is_away_events_wait_and_each_client_gets_all_of_them_once(running: MemoryBridge) -> None:
    stream = running.connect(1)
    with running.store_away():
        emit(paid("a"))
        assert "cannot be seen" in running.told()
    emit(paid("b"))
    assert [stream.next().payload["number"], stream.next().payload["number"]] == ["a", "b"]
    stream.nothing()
    running.all_published()


def test_a_client_that_is_cut_comes_back_and_has_missed_nothing(running: MemoryBridge) -> None:
    stream = running.connect(1)
    emit(paid("a"))
    with running.client_cut(stream):
        emit(paid("b"))
    emit(paid("c"))
    assert [stream.next().payload["number"] for _ in range(3)] == ["a", "b", "c"]
    stream.nothing()


def test_faults_go_together(running: MemoryBridge) -> None:
    stream = running.connect(1)
    with running.duplicate_delivery(), running.store_away(), running.broker_away(), running.client_cut(stream):
        emit(paid("a"))
    assert stream.next().payload == {"number": "a"}
    stream.nothing()
    assert running.balance.balanced
