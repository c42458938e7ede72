"""What one call costs the caller at 1,000 events a second: broker up, refusing connections, or frozen (SIGSTOP)."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

from benchmarks.harness.processes import running_producer
from benchmarks.harness.questions import Options, Result, parse, rounds
from benchmarks.harness.statistics import percentile
from benchmarks.harness.stores import Store
from benchmarks.harness.throughput import surroundings
from benchmarks.peers import Peer
from bridge.local.redis_server import free_port

RATE = 1_000
STATES = ("up", "refused", "frozen")
NAMES = (
    "bridge",
    "bridge_rabbitmq",
    "celery_redis",
    "celery_rabbitmq",
    "faststream",
    "taskiq",
    "dramatiq",
    "in_process",
)
WARM_UP = 500


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``producer_cost.json``."""
    options = parse(__doc__ or "", arguments)
    run(options).write()


def run(options: Options) -> Result:
    """Every producer in every state of its broker."""
    result = Result("producer_cost", "What emitting one event costs the caller", options)
    peers = result.present(options.taking_part(NAMES))
    seconds = 2 if options.quick else 5
    result.facts = {"rate": RATE, "seconds": seconds, "given_up_after_s": 2 * seconds}
    # A frozen RabbitMQ is left out: what is asked is what a library does, and on Redis that is seen as well.
    cases = [(peer, state) for state in STATES for peer in peers if state != "frozen" or peer.broker == "redis"]
    rows = rounds(
        cases, options.runs, lambda case: _measure(*case, seconds), lambda case: f"{case[0].name}, broker {case[1]}"
    )
    for (peer, state), row in zip(cases, rows, strict=True):
        result.rows.append({"peer": peer.name, "state": state, **row})
    return result


def _measure(peer: Peer, state: str, seconds: int) -> dict[str, float]:
    with surroundings(peer) as (store, given):
        if state == "refused":
            closed = free_port()
            given = {
                "BRIDGE_BROKER_URL": given["BRIDGE_BROKER_URL"].replace(_port(given["BRIDGE_BROKER_URL"]), str(closed)),
                "BRIDGE_REDIS_URL": f"redis://127.0.0.1:{closed}/0",
            }
        arguments = ["--events", str(RATE * seconds), "--rate", str(RATE), "--deadline", str(2 * seconds)]
        warm_up = ["--warm-up", "0" if state == "refused" else str(WARM_UP)]
        with running_producer(peer, given, "paced", *arguments, *warm_up) as producer:
            producer.expect()
            with _frozen(store) if state == "frozen" else _as_it_is():
                producer.sign()
                answer = producer.expect()
    calls_us = [took / 1e3 for took in answer["calls_ns"]]
    if answer["blocked_ns"]:
        calls_us.append(answer["blocked_ns"] / 1e3)
    return {
        "p50_us": percentile(calls_us, 50),
        "p99_us": percentile(calls_us, 99),
        "max_us": max(calls_us),
        "calls": len(calls_us),
        "failed": answer["failed"],
        "blocked_s": answer["blocked_ns"] / 1e9,
    }


def _port(url: str) -> str:
    return url.rstrip("/").rpartition(":")[2].partition("/")[0]


@contextmanager
def _frozen(store: Store) -> Iterator[None]:
    assert store.pid is not None
    pids = [store.pid, *(child.pid for child in psutil.Process(store.pid).children(recursive=True))]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


if __name__ == "__main__":
    main()
