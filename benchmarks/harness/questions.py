"""What every question does alike: its command line, its rounds, and its result as JSON."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.harness.machine import describe_machine, load_average
from benchmarks.harness.processes import ROOT, MeasurementError
from benchmarks.harness.statistics import spread
from benchmarks.harness.waiting import TooSlowError
from benchmarks.peers import BY_NAME, PEERS, Peer

RUNS = 5
RUNS_QUICK = 1
RESULTS = ROOT / "benchmarks" / "results"

Case = TypeVar("Case")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the person who measures asked for.

    Attributes:
        runs: of each measurement.
        quick: small numbers, to see that everything works; no result.
        peers: names; empty takes all.
        results: folder for the JSON.
    """

    runs: int
    quick: bool
    peers: tuple[str, ...] = ()
    results: Path = RESULTS

    def taking_part(self, names: Iterable[str] = ()) -> list[Peer]:
        """The peers of a question that were asked for; ``names`` empty means all."""
        wanted = [BY_NAME[name] for name in names] or list(PEERS)
        return [peer for peer in wanted if not self.peers or peer.name in self.peers]

    def scaled(self, number: int) -> int:
        """A number of events, a tenth of it when quick."""
        return max(1_000, number // 10) if self.quick else number


def parse(description: str, arguments: Sequence[str] | None = None) -> Options:
    """Read the command line of a question."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, help=f"of each measurement (default {RUNS}; {RUNS_QUICK} with --quick)")
    parser.add_argument("--quick", action="store_true", help="small numbers and one run, to see that it works")
    parser.add_argument("--peers", default="", help=f"comma-separated, of: {', '.join(BY_NAME)} (default: all)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON")
    found = parser.parse_args(arguments)
    names = tuple(filter(None, found.peers.split(",")))
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        parser.error(f"unknown peers: {', '.join(unknown)}")
    return Options(
        runs=found.runs or (RUNS_QUICK if found.quick else RUNS),
        quick=found.quick,
        peers=names,
        results=found.results,
    )


@dataclass
class Result:
    """The rows of one question, and why some are missing."""

    name: str
    question: str
    options: Options
    rows: list[dict[str, Any]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def present(self, peers: Iterable[Peer]) -> list[Peer]:
        """The peers that can take part here; the others are noted with the reason."""
        found = []
        for peer in peers:
            reason = peer.missing()
            if reason:
                self.missing[peer.name] = reason
                say(f"{peer.name}: left out, {reason}")
            else:
                found.append(peer)
        return found

    def write(self) -> Path:
        """Write it as JSON; returns where."""
        self.options.results.mkdir(parents=True, exist_ok=True)
        path = self.options.results / f"{self.name}.json"
        content = {
            "name": self.name,
            "question": self.question,
            "quick": self.options.quick,
            "runs": self.options.runs,
            "commit": _commit(),
            "machine": describe_machine(),
            "load_average_after": load_average(),
            "missing": self.missing,
            "settings": {peer.name: peer.settings for peer in PEERS},
            "labels": {peer.name: peer.label for peer in PEERS},
            "facts": self.facts,
            "rows": self.rows,
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        say(f"written: {path.name}")
        return path


def rounds(
    cases: Sequence[Case], runs: int, measure: Callable[[Case], dict[str, float]], name: Callable[[Case], str]
) -> list[dict[str, Any]]:
    """Measure every case once a round, so that the machine's moods meet all alike; a row a case, in order.

    A case that fails is told, and is not tried again.
    """
    found: list[list[dict[str, float]]] = [[] for _ in cases]
    failures: dict[int, str] = {}
    for number in range(runs):
        for index, case in enumerate(cases):
            if index in failures:
                continue
            try:
                values = measure(case)
            except (TooSlowError, MeasurementError) as error:
                failures[index] = str(error)
                say(f"{name(case)}: failed: {error}")
                continue
            found[index].append(values)
            say(f"{number + 1}/{runs} {name(case)}: {_short(values)}")
    return [
        {"failed": failures[index]} if index in failures else _spreads(values) for index, values in enumerate(found)
    ]


def say(text: str) -> None:
    """Tell how it goes, beside the result."""
    print(text, file=sys.stderr, flush=True)


def _spreads(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {key: spread([run[key] for run in runs]).to_dict() for key in runs[0]}


def _short(values: Mapping[str, float]) -> str:
    return ", ".join(f"{key}={value:,.6g}" for key, value in values.items())


def _commit() -> str:
    """Of the code that was measured; the results of other questions are no change of it."""
    commit = _git("describe", "--always") or "unknown"
    changed = _git("status", "--porcelain", "--", ".", f":(exclude){RESULTS.relative_to(ROOT)}")
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)
    return answer.stdout.strip()
