"""One run of one peer: start everything fresh, warm up, send, and take the time until the last event is published."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.harness.processes import Processes, running_producer, running_workers
from benchmarks.harness.rabbitmq import running_rabbitmq
from benchmarks.harness.stores import Store, running_store
from benchmarks.harness.waiting import wait_until
from benchmarks.peers import BRIDGE, Peer

WARM_UP = 200
START_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is sent.

    Attributes:
        mode: ``burst`` (known together) or ``each`` (one call an event).
        events: how many.
        users: how many users they are for.
        processes: worker processes.
        timeout_s: a run that takes longer is given up.
    """

    mode: str
    events: int
    users: int = 100
    processes: int = 1
    timeout_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run took.

    Attributes:
        events_s: events a second, from the first call to the last event published.
        handed_over_s: seconds until the producer's last call returned.
        worker_cpu_us: processor time of all worker processes, an event.
        redis_cpu_us: the same of Redis (broker and store are one).
        producer_cpu_us: the same of the producer.
        entries: entries in the streams, which must be one an event.
    """

    events_s: float
    wall_s: float
    handed_over_s: float
    worker_cpu_us: float
    redis_cpu_us: float
    producer_cpu_us: float
    entries: int

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a result."""
        return asdict(self)


@contextmanager
def surroundings(peer: Peer) -> Iterator[tuple[Store, dict[str, str]]]:
    """A fresh Redis, a RabbitMQ if the peer needs one, and the environment that names them."""
    with running_store() as store:
        if peer.broker == "rabbitmq":
            with running_rabbitmq() as url:
                yield store, {"BRIDGE_BROKER_URL": url, "BRIDGE_REDIS_URL": store.url}
        else:
            yield store, {"BRIDGE_BROKER_URL": store.url, "BRIDGE_REDIS_URL": store.url}


def measure(peer: Peer, load: Load) -> Run:
    """One run with everything fresh.

    Raises:
        TooSlowError: it took too long.
        MeasurementError: a process ended.
    """
    with surroundings(peer) as (store, given), running_workers(peer, load.processes, given) as workers:
        return one_run(peer, load, store, workers, given)


def one_run(peer: Peer, load: Load, store: Store, workers: Processes, given: Mapping[str, str]) -> Run:
    """One run on what is already there."""
    store.forget()
    arguments = [
        load.mode,
        *("--events", str(load.events), "--users", str(load.users), "--warm-up", str(WARM_UP)),
    ]
    with running_producer(peer, given, *arguments) as producer:
        producer.expect()
        wait_for(peer, store, workers, WARM_UP, START_TIMEOUT_S)
        store.forget()
        worker_cpu_s, redis_cpu_s = workers.cpu_s(), store.cpu_s()
        producer.sign()
        ended_ns = wait_for(peer, store, workers, load.events, load.timeout_s)
        worker_cpu_s, redis_cpu_s = workers.cpu_s() - worker_cpu_s, store.cpu_s() - redis_cpu_s
        sent = producer.expect()
    entries = store.entries_added()
    if entries < load.events or (peer.module.startswith(f"benchmarks.peers.{BRIDGE}") and entries != load.events):
        raise AssertionError(f"{peer.name} was sent {load.events} events, and its streams have {entries} entries")
    wall_s = (ended_ns - sent["started_ns"]) / 1e9
    return Run(
        events_s=load.events / wall_s,
        wall_s=wall_s,
        handed_over_s=(sent["handed_over_ns"] - sent["started_ns"]) / 1e9,
        worker_cpu_us=worker_cpu_s / load.events * 1e6,
        redis_cpu_us=redis_cpu_s / load.events * 1e6,
        producer_cpu_us=sent["cpu_s"] / load.events * 1e6,
        entries=entries,
    )


def wait_for(peer: Peer, store: Store, workers: Processes, number: int, timeout_s: float) -> int:
    """Wait until so many events are published; returns the monotonic time in ns.

    Raises:
        TooSlowError: it took too long.
        MeasurementError: a worker ended.
    """

    def done() -> bool:
        workers.check()
        return store.published(peer.counted_by) >= number

    return wait_until(done, timeout_s=timeout_s, what=f"{number} events are published")
