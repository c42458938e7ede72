"""How many events a second go through when one producer process makes one call an event, as fast as it can."""

from collections.abc import Sequence

from benchmarks.harness.questions import Options, Result, parse, rounds
from benchmarks.harness.throughput import Load, measure
from benchmarks.peers import Peer


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``single_emits.json``."""
    options = parse(__doc__ or "", arguments)
    run(options).write()


def run(options: Options) -> Result:
    """Every peer with one worker process; the bridge also with one event per message."""
    result = Result("single_emits", "Events a second, one call an event, end to end", options)
    peers = result.present(options.taking_part())

    def one(peer: Peer) -> dict[str, float]:
        return measure(peer, Load(mode="each", events=options.scaled(peer.burst_events))).to_dict()

    rows = rounds(peers, options.runs, one, lambda peer: peer.name)
    for peer, row in zip(peers, rows, strict=True):
        result.rows.append({"peer": peer.name, "processes": 1, **row})
    return result


if __name__ == "__main__":
    main()
