"""What is kept where: Redis memory an event that stays for replay, and memory of a worker at rest and after work."""

from collections.abc import Sequence

from benchmarks.harness.processes import running_workers
from benchmarks.harness.questions import Options, Result, parse, rounds
from benchmarks.harness.throughput import Load, one_run, surroundings
from benchmarks.peers import PEERS, Peer

EVENTS = 10_000
USERS = (10, 1_000)
WARM_UP = 1_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``memory.json``."""
    options = parse(__doc__ or "", arguments)
    run(options).write()


def run(options: Options) -> Result:
    """Every peer: a burst for few users with long histories, and for many with short ones."""
    result = Result("memory", "Memory of events and workers", options)
    peers = result.present(options.taking_part(peer.name for peer in PEERS if peer.name != "bridge_single"))
    events = options.scaled(EVENTS)
    result.facts = {"events": events}
    cases = [(peer, users) for users in USERS for peer in peers]
    rows = rounds(
        cases, options.runs, lambda case: _measure(*case, events), lambda case: f"{case[0].name}, {case[1]} users"
    )
    for (peer, users), row in zip(cases, rows, strict=True):
        result.rows.append({"peer": peer.name, "users": users, **row})
    return result


def _measure(peer: Peer, users: int, events: int) -> dict[str, float]:
    """Two runs on one set-up: the first loads scripts and fills caches, the second is what an event adds."""
    with surroundings(peer) as (store, given), running_workers(peer, 1, given) as workers:
        one_run(peer, Load(mode="burst", events=WARM_UP, users=users), store, workers, given)
        at_rest = workers.pss_bytes()
        store.forget()
        before = store.used_bytes()
        one_run(peer, Load(mode="burst", events=events, users=users), store, workers, given)
        return {
            "redis_bytes_an_event": (store.used_bytes() - before) / events,
            "worker_start_mib": at_rest / 2**20,
            "worker_after_mib": workers.pss_bytes() / 2**20,
        }


if __name__ == "__main__":
    main()
