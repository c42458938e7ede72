"""How long an event takes from the call of ``emit`` to the browser, at a steady 100, 1,000 and 5,000 events a second.

Peers have no gateway: theirs is the time until the event is on its channel, and the bridge's is given for that as well.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

from benchmarks.harness.processes import Processes, Reporter, running_producer, running_workers
from benchmarks.harness.questions import Options, Result, parse, rounds
from benchmarks.harness.statistics import percentile
from benchmarks.harness.throughput import START_TIMEOUT_S, WARM_UP, surroundings, wait_for
from benchmarks.harness.waiting import wait_until
from benchmarks.peers import BRIDGE, PEERS, Peer
from bridge.local.redis_server import free_port

RATES = (100, 1_000, 5_000)
USERS = 10
GRACE_S = 5
"""An event that arrives later than this after the last one was to be sent is not waited for."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One peer, one rate, one place where events are awaited: ``channel`` or ``sse``."""

    peer: Peer
    rate: int
    to: str

    def __str__(self) -> str:
        return f"{self.peer.name} to {self.to}, {self.rate:,}/s"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``latency.json``."""
    options = parse(__doc__ or "", arguments)
    run(options).write()


def run(options: Options) -> Result:
    """Every peer to the channel, and the bridge to the SSE client."""
    result = Result("latency", "From emit to the channel, and to the SSE client", options)
    peers = result.present(options.taking_part(peer.name for peer in PEERS if peer.name != "bridge_single"))
    seconds = 3 if options.quick else 6
    result.facts = {"seconds": seconds, "users": USERS, "grace_s": GRACE_S}
    cases = [
        Case(peer=peer, rate=rate, to=to)
        for rate in RATES
        for peer in peers
        for to in (("sse", "channel") if peer.name.startswith(BRIDGE) else ("channel",))
    ]
    rows = rounds(cases, options.runs, lambda case: _measure(case, seconds), str)
    for case, row in zip(cases, rows, strict=True):
        result.rows.append({"peer": case.peer.name, "rate": case.rate, "to": case.to, **row})
    return result


def _measure(case: Case, seconds: int) -> dict[str, float]:
    events = case.rate * seconds
    with (
        surroundings(case.peer) as (store, given),
        running_workers(case.peer, 1, given) as workers,
        _listening_port(case.to, given) as port,
        running_producer(
            case.peer,
            given,
            "paced",
            *("--events", str(events), "--users", str(USERS), "--rate", str(case.rate)),
            *("--warm-up", str(WARM_UP), "--deadline", str(2 * seconds)),
        ) as producer,
        _listener(case.to, port, events, 2 * seconds + GRACE_S) as listener,
    ):
        producer.expect()
        wait_for(case.peer, store, workers, WARM_UP, START_TIMEOUT_S)
        listener.expect()
        producer.sign()
        sent = producer.expect()["sent_ns"]
        arrived = listener.expect()["arrived_ns"]
    took_ms = [(there - here) / 1e6 for here, there in zip(sent, arrived, strict=False) if there]
    return {
        "p50_ms": percentile(took_ms, 50),
        "p99_ms": percentile(took_ms, 99),
        "max_ms": max(took_ms),
        "sent_s": len(sent) / ((sent[-1] - sent[0]) / 1e9),
        "arrived_share": len(took_ms) / events,
    }


@contextmanager
def _listening_port(to: str, given: dict[str, str]) -> Iterator[int]:
    """Where to listen: Redis itself, or a gateway in front of it."""
    if to == "channel":
        yield _port_of(given["BRIDGE_REDIS_URL"])
        return
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bridge.gateway:app", "--port", str(port), "--log-level", "warning"]
    gateway = Processes([command], {**given, "BRIDGE_GATEWAY_DEV": "1"})
    try:
        wait_until(lambda: _is_ready(port), timeout_s=START_TIMEOUT_S, what="the gateway is ready")
        yield port
    finally:
        gateway.stop()


@contextmanager
def _listener(to: str, port: int, events: int, timeout_s: int) -> Iterator[Reporter]:
    arguments = [to, str(port), str(USERS), str(events), str(timeout_s)]
    listener = Reporter([sys.executable, "-m", "benchmarks.harness.listening", *arguments], {})
    try:
        yield listener
    finally:
        listener.stop()


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
