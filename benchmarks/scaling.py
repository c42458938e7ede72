"""Whether an event costs the same whatever the number of events, of users and of worker processes."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness.processes import running_workers
from benchmarks.harness.questions import Options, Result, parse, rounds
from benchmarks.harness.throughput import Load, one_run, surroundings
from benchmarks.peers import BRIDGE, Peer

EVENTS = (1_000, 10_000, 100_000, 1_000_000)
USERS = (10, 1_000, 10_000, 100_000)
USERS_EVENTS = 100_000
"""Events of a burst when the number of users is what changes."""
MEASURED_EVENTS = 20_000
"""Small bursts are repeated until so many events were sent: the clocks of processes tick in hundredths of a second."""
PEER_EVENTS_MAX = 10_000
PEERS = ("celery_redis", "faststream", "faststream_batch", "taskiq", "dramatiq")
BATCHING = ("faststream_batch",)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One point of a curve; ``axis`` is what changes along it."""

    peer: Peer
    axis: str
    events: int
    users: int
    processes: int

    def __str__(self) -> str:
        return f"{self.peer.name}, {self.events:,} events, {self.users:,} users, {self.processes} workers"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``scaling.json``."""
    options = parse(__doc__ or "", arguments)
    run(options).write()


def run(options: Options) -> Result:
    """The bridge over the whole range, peers as far as their speed allows."""
    result = Result("scaling", "Cost of an event as numbers grow", options)
    peers = result.present(options.taking_part([BRIDGE, *PEERS]))
    cases = [case for peer in peers for case in _cases(peer, quick=options.quick)]
    rows = rounds(cases, options.runs, _measure, str)
    for case, row in zip(cases, rows, strict=True):
        result.rows.append(
            {
                "peer": case.peer.name,
                "axis": case.axis,
                "events": case.events,
                "users": case.users,
                "processes": case.processes,
                **row,
            }
        )
    return result


def _cases(peer: Peer, *, quick: bool) -> list[Case]:
    most = _most_events(peer) // (10 if quick else 1)
    many = [Case(peer=peer, axis="events", events=n, users=100, processes=1) for n in EVENTS if n <= most]
    users_events = min(USERS_EVENTS, most)
    users = [
        Case(peer=peer, axis="users", events=users_events, users=n, processes=1) for n in USERS if n <= users_events
    ]
    workers = [Case(peer=peer, axis="processes", events=users_events, users=100, processes=n) for n in (1, 2)]
    return [*many, *users, *workers]


def _most_events(peer: Peer) -> int:
    if peer.name == BRIDGE:
        return EVENTS[-1]
    return USERS_EVENTS if peer.name in BATCHING else PEER_EVENTS_MAX


def _measure(case: Case) -> dict[str, float]:
    load = Load(mode="burst", events=case.events, users=case.users, processes=case.processes, timeout_s=600)
    repeats = max(1, min(MEASURED_EVENTS, _most_events(case.peer)) // case.events)
    with (
        surroundings(case.peer) as (store, given),
        running_workers(case.peer, case.processes, given) as workers,
    ):
        found = [one_run(case.peer, load, store, workers, given) for _ in range(repeats)]
    count = len(found)
    return {
        "worker_cpu_us": sum(run.worker_cpu_us for run in found) / count,
        "redis_cpu_us": sum(run.redis_cpu_us for run in found) / count,
        "producer_cpu_us": sum(run.producer_cpu_us for run in found) / count,
        "cpu_us": sum(run.worker_cpu_us + run.redis_cpu_us + run.producer_cpu_us for run in found) / count,
        "wall_us": sum(run.wall_s for run in found) / count / case.events * 1e6,
    }


if __name__ == "__main__":
    main()
