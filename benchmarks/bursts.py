"""How many events a second go through when they are known together: from the first call to the last one published."""

from collections.abc import Sequence

from benchmarks.harness.questions import Options, Result, parse, rounds
from benchmarks.harness.throughput import Load, measure
from benchmarks.peers import PEERS, Peer

PROCESSES = (1, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``bursts.json``."""
    options = parse(__doc__ or "", arguments)
    run(options).write()


def run(options: Options) -> Result:
    """Every peer with one and two worker processes; the in-process handler has none."""
    result = Result("bursts", "Events a second in a burst, end to end", options)
    peers = options.taking_part(peer.name for peer in PEERS if peer.name != "bridge_single")
    cases = [
        (peer, processes)
        for processes in PROCESSES
        for peer in result.present(peers)
        if peer.worker or processes == PROCESSES[0]
    ]

    def one(case: tuple[Peer, int]) -> dict[str, float]:
        peer, processes = case
        load = Load(mode="burst", events=options.scaled(peer.burst_events), processes=processes)
        return measure(peer, load).to_dict()

    rows = rounds(cases, options.runs, one, lambda case: f"{case[0].name} x{case[1]}")
    for (peer, processes), row in zip(cases, rows, strict=True):
        result.rows.append({"peer": peer.name, "processes": processes, **row})
    return result


if __name__ == "__main__":
    main()
