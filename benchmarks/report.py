"""Writes ``docs/performance.md`` and its drawing from the results: no figure on that page is typed by hand."""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import isclose
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.harness.drawing import Bar, bars_svg
from benchmarks.harness.processes import ROOT
from benchmarks.harness.questions import RESULTS

PAGE = ROOT / "docs" / "performance.md"
BASE = "celery_redis"
OURS = "bridge"
Rows: TypeAlias = list[dict[str, Any]]

_EMIT_AIM_US = (10, 200)
_SSE_AIM_MS = (5, 25)
_SSE_AIM_RATE = 1_000
_KEPT = 0.99
"""Of the rate that was asked for, and of the events sent: who does less than that has not done the job."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the results, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder with the JSON")
    parser.add_argument("--page", type=Path, default=PAGE, help="what is written; the drawing goes beside it")
    options = parser.parse_args(arguments)
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in options.results.glob("*.json")}
    options.page.parent.mkdir(parents=True, exist_ok=True)
    drawing = draw(results)
    if drawing:
        options.page.with_suffix(".svg").write_text(drawing, encoding="utf-8")
    options.page.write_text(page(results), encoding="utf-8")


def arguments_of(arguments: Sequence[str]) -> list[str]:
    """Of the arguments for all questions, those that concern the report.

    With ``--quick`` the page goes beside the results, since its figures are none to publish.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true")
    found, _ = parser.parse_known_args(arguments)
    page_there = ["--page", str(found.results / PAGE.name)] if found.quick else []
    return ["--results", str(found.results), *page_there]


def page(results: dict[str, Any]) -> str:
    """The whole page; a question without a result is left out."""
    parts = [_INTRODUCTION, _warning(results), *(_run_lines(results))]
    for name, write in _SECTIONS.items():
        if name in results:
            parts += [write(results[name]), _other_runs(results[name], results), _not_measured(results[name])]
    parts += [_settings(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _usual(results: dict[str, Any], name: str) -> Any:
    """The value that most results have."""
    return Counter(result[name] for result in results.values()).most_common(1)[0][0]


def _commits(results: dict[str, Any]) -> str:
    """Which code was measured, and which results are of another."""
    usual = _usual(results, "commit")
    others = [f"{name}: {found['commit']}" for name, found in sorted(results.items()) if found["commit"] != usual]
    return str(usual) + (f" ({', '.join(others)})" if others else "")


def _other_runs(result: dict[str, Any], results: dict[str, Any]) -> str:
    return f"Here the medians are of {result['runs']} runs." if result["runs"] != _usual(results, "runs") else ""


def draw(results: dict[str, Any]) -> str:
    """Bursts and single emits with one worker process, in one drawing; empty without results."""
    bars = []
    for name, suffix in (("bursts", "burst"), ("single_emits", "one call an event")):
        found = results.get(name, {"rows": []})
        for row in _measured(found["rows"]):
            if row["processes"] == 1:
                rate = row["events_s"]
                bars.append(
                    Bar(
                        label=f"{found['labels'][row['peer']]}: {suffix}",
                        value=rate["median"],
                        lowest=rate["lowest"],
                        highest=rate["highest"],
                        ours=row["peer"].startswith(OURS),
                    )
                )
    return bars_svg("Events a second, end to end, one worker process", "events/s", bars) if bars else ""


_INTRODUCTION = """# Performance

<!-- Generated: make bench. Every figure comes from benchmarks/results/*.json. -->

How fast the bridge is, measured beside others that do the same job on the same machine in the same run. The figures of one machine say
little; **the ratios are the result**.

The job of each event: look up the mapping, make the domain event, extract, encode as JSON, `XADD` to the user's stream and `PUBLISH` on the
user's channel, on the same kind of Redis (AOF `everysec`, `stream-node-max-bytes 1024`). The bridge does more for each: one id is published once, positions are ordered across
all streams, keys expire, nothing is lost when a worker is killed. The peers' one pipeline of two commands does none of this, and plain
Celery, with its default early acknowledgement, loses what a killed worker held; the difference is in their favour.

```sh
make bench                        # all of it; well over an hour
make bench BENCH_ARGS=--quick     # minutes: to see that it works
python -m benchmarks.bursts --runs 5 --peers bridge,celery_redis     # one question
```"""


def _warning(results: dict[str, Any]) -> str:
    if any(result["quick"] for result in results.values()):
        return "> **Preliminary**: at least one result below is from a run with `--quick`."
    return ""


def _run_lines(results: dict[str, Any]) -> list[str]:
    if not results:
        return ["There are no results yet."]
    result = next(found for found in results.values() if found["runs"] == _usual(results, "runs"))
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        f"Measured on {machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB, {machine['system']}, Python "
        f"{machine['python']}, {machine['server']}, RabbitMQ {machine['rabbitmq'] or 'not installed'}. {versions}. "
        f"Code of commit {_commits(results)}. "
        f"Medians of {result['runs']} runs, in rounds: each round measures everybody once, with fresh servers and processes. In brackets: lowest to highest.",
        "![Events a second, end to end](performance.svg)" if "bursts" in results else "",
    ]


def _bursts(result: dict[str, Any]) -> str:
    return (
        "## Bursts\n\n"
        "Events that are known together, from the first call to the last event published; the producer runs beside the worker. "
        "Ratios are to the bridge with the same number of worker processes: above 1 the bridge is faster. RabbitMQ's own processor time is not shown.\n\n"
        f"{_throughput_table(result)}{_bar(_against_celery(result), '40 times plain Celery on Redis', 40)}"
    )


def _single_emits(result: dict[str, Any]) -> str:
    rows = {row["peer"]: row for row in _measured(result["rows"])}
    single = _median(rows.get("bridge_single"), "events_s")
    note = ""
    if single:
        theirs = {name: row["events_s"]["median"] for name, row in rows.items() if not name.startswith(OURS)}
        celery = theirs.get(BASE)
        if celery:
            note = _bar(single / celery, "with one event per message, 3 times plain Celery on Redis", 3)
        faster = [result["labels"][name] for name, rate in theirs.items() if rate > single]
        note += f"\n\nFaster than the bridge with one event per message: {'; '.join(faster) or 'none'}."
    return (
        "## Single emits\n\n"
        "One producer process makes one call an event as fast as it can; one worker process. asyncio producers have 100 calls in flight. "
        "`emit` returns when the event is in the buffer, and a thread batches what is there; `BRIDGE_EMIT_BATCH_MAX=1` switches that off.\n\n"
        f"{_throughput_table(result)}{_bar(_against_celery(result), '10 times plain Celery on Redis', 10)}{note}"
    )


def _throughput_table(result: dict[str, Any]) -> str:
    ours = {row["processes"]: row["events_s"]["median"] for row in _of(OURS, result["rows"])}
    lines = []
    for row in result["rows"]:
        label = result["labels"][row["peer"]]
        if "failed" in row:
            lines.append([label, row["processes"], f"failed: {row['failed'][:80]}", "", "", "", ""])
            continue
        rate = row["events_s"]
        mine = ours.get(row["processes"])
        lines.append(
            [
                label,
                row["processes"] if row["peer"] != "in_process" else "-",
                _range(rate),
                f"{mine / rate['median']:.1f}" if mine else "",
                *(f"{row[key]['median']:,.0f}" for key in ("worker_cpu_us", "redis_cpu_us", "producer_cpu_us")),
            ]
        )
    header = ["", "workers", "events/s", "bridge is times as fast", "CPU µs/event: worker", "Redis", "producer"]
    return _table(header, lines) + _winners(result)


def _winners(result: dict[str, Any]) -> str:
    ours = {row["processes"]: row["events_s"]["median"] for row in _of(OURS, result["rows"])}
    ahead = [
        f"{result['labels'][row['peer']]} ({row['processes']})"
        for row in _measured(result["rows"])
        if not row["peer"].startswith(OURS) and row["events_s"]["median"] > ours.get(row["processes"], float("inf"))
    ]
    return f"\n\nFaster than the bridge here: {'; '.join(ahead)}." if ahead else "\n\nNo peer was faster here."


def _against_celery(result: dict[str, Any]) -> float | None:
    rates = {(row["peer"], row["processes"]): row["events_s"]["median"] for row in _measured(result["rows"])}
    ratios = [
        rate / rates[BASE, processes]
        for (name, processes), rate in rates.items()
        if name == OURS and (BASE, processes) in rates
    ]
    return min(ratios, default=None)


def _bar(found: float | None, aim: str, least: float) -> str:
    """Whether an aim was reached, in one sentence."""
    if found is None:
        return ""
    return f"\n\nAim: {aim}. Found: {found:.1f} times; {'reached' if found >= least else '**not reached**'}."


def _script_ceiling(result: dict[str, Any]) -> str:
    rows = _measured(result["rows"])
    best = {row["batch"]: row["events_s"]["median"] for row in rows if row["peer"] == "redis-benchmark"}
    lines = []
    for row in rows:
        ceiling = best.get(row["batch"])
        share = f"{row['events_s']['median'] / ceiling:.0%}" if ceiling and row["peer"] != "redis-benchmark" else ""
        label = result["labels"].get(row["peer"], row["peer"])
        lines.append([label, row["batch"], _range(row["events_s"]), share])
    share_of = next(
        (row["events_s"]["median"] / best[500] for row in rows if row["peer"] == OURS and 500 in best), None
    )
    verdict = (
        f"\n\nAim: 40 % of it in bursts. Found: {share_of:.0%}; {'reached' if share_of >= 0.4 else '**not reached**'}."
        if share_of
        else ""
    )
    return (
        "## Beside what Redis can do\n\n"
        "`redis-benchmark` (one connection) calls the same settle script with the same arguments, each event new: the most that any "
        "worker could reach. The bridge reads, decodes, extracts and acknowledges besides.\n\n"
        + _table(["", "events a call", "events/s", "share"], lines)
        + verdict
    )


def _producer_cost(result: dict[str, Any]) -> str:
    facts = result["facts"]
    lines = [
        [
            result["labels"][row["peer"]],
            row["state"],
            *((f"failed: {row['failed'][:60]}", "", "", "") if isinstance(row["failed"], str) else _cost(row)),
        ]
        for row in result["rows"]
    ]
    return (
        "## Cost to the caller\n\n"
        f"One call at a time, {facts['rate']:,} a second for {facts['seconds']} s: how long it keeps the caller, the broker being up, refusing "
        f"connections, or frozen (SIGSTOP). A producer that has not made its calls after {facts['given_up_after_s']} s is stopped, and the call that "
        f"still blocks counts with the time it had blocked for. Aim for `emit`: p50 {_EMIT_AIM_US[0]} µs, p99 {_EMIT_AIM_US[1]} µs, in each state.\n\n"
        + _table(["", "broker", "p50", "p99", "longest", "calls that raised"], lines)
        + _verdicts(
            (f"broker {row['state']}", row["p50_us"]["median"], row["p99_us"]["median"], _EMIT_AIM_US, "µs")
            for row in _of(OURS, result["rows"])
        )
    )


def _verdicts(found: Iterable[tuple[str, float, float, tuple[float, float], str]]) -> str:
    """Whether p50 and p99 reached their aims, one line a case."""
    return "\n" + "".join(
        f"\n- bridge, {case}: p50 {p50:,.1f} {unit}, p99 {p99:,.1f} {unit}: "
        f"{'reached' if p50 <= aims[0] and p99 <= aims[1] else '**not reached**'}."
        for case, p50, p99, aims, unit in found
    )


def _cost(row: dict[str, Any]) -> tuple[str, ...]:
    blocked_us = row["blocked_s"]["median"] * 1e6
    times = []
    for key in ("p50_us", "p99_us", "max_us"):
        took_us = row[key]["median"]
        # The call that never returned stands among the others with the time it had blocked for.
        at_least = "≥ " if blocked_us and isclose(took_us, blocked_us, rel_tol=1e-3) else ""
        times.append(at_least + _time(took_us))
    return (*times, f"{row['failed']['median']:,.0f} of {row['calls']['median']:,.0f}")


def _latency(result: dict[str, Any]) -> str:
    lines = []
    for row in result["rows"]:
        start = [result["labels"][row["peer"]], "SSE client" if row["to"] == "sse" else "channel", f"{row['rate']:,}"]
        if "failed" in row:
            lines.append([*start, f"failed: {row['failed'][:60]}", "", "", ""])
            continue
        lines.append(
            [
                *start,
                f"{row['p50_ms']['median']:,.1f}",
                f"{row['p99_ms']['median']:,.1f}",
                f"{row['sent_s']['median']:,.0f}",
                f"{row['arrived_share']['median']:.1%}",
            ]
        )
    return (
        "## Latency\n\n"
        f"From the call of `emit` to the browser, at a steady rate for {result['facts']['seconds']} s, {result['facts']['users']} users, one "
        'worker process. Peers have no gateway: theirs is the time to the Redis channel. "Sent" is the rate that the producer reached; events that '
        f"came more than {result['facts']['grace_s']} s late did not arrive. Aim at {_SSE_AIM_RATE:,}/s to the SSE client: p50 {_SSE_AIM_MS[0]} ms, p99 {_SSE_AIM_MS[1]} ms.\n\n"
        + _table(["", "to", "events/s", "p50 ms", "p99 ms", "sent/s", "arrived"], lines)
        + _verdicts(
            (
                f"{row['rate']:,}/s to the SSE client",
                row["p50_ms"]["median"],
                row["p99_ms"]["median"],
                _SSE_AIM_MS,
                "ms",
            )
            for row in _of(OURS, result["rows"])
            if row["to"] == "sse" and row["rate"] == _SSE_AIM_RATE
        )
        + "\n\nSooner at the channel than the bridge, in the median, of those that kept the rate:\n"
        + "".join(
            f"\n- at {rate:,}/s: {_sooner(result, rate)}" for rate in sorted({row["rate"] for row in result["rows"]})
        )
    )


def _sooner(result: dict[str, Any], rate: int) -> str:
    rows = [
        row
        for row in _succeeded(result["rows"])
        if (row["rate"], row["to"]) == (rate, "channel")
        and row["sent_s"]["median"] >= _KEPT * rate
        and row["arrived_share"]["median"] >= _KEPT
    ]
    return _ahead(result, rows, "p50_ms", "ms")


def _ahead(result: dict[str, Any], rows: Rows, key: str, unit: str) -> str:
    """Which peers need less than the bridge does; nothing at all needs who has no such thing."""
    ours = _median(next(iter(_of(OURS, rows)), None), key)
    ahead = [
        f"{result['labels'][row['peer']]} ({row[key]['median']:,.1f} {unit})"
        for row in rows
        if ours is not None and not row["peer"].startswith(OURS) and 0 < row[key]["median"] < ours
    ]
    return ", ".join(ahead) or "none"


def _memory(result: dict[str, Any]) -> str:
    lines = [
        [
            result["labels"][row["peer"]],
            f"{row['users']:,}",
            *(
                (f"failed: {row['failed'][:60]}", "", "")
                if "failed" in row
                else (
                    f"{row['redis_bytes_an_event']['median']:,.0f}",
                    f"{row['worker_start_mib']['median']:,.0f}",
                    f"{row['worker_after_mib']['median']:,.0f}",
                )
            ),
        ]
        for row in result["rows"]
    ]
    return (
        "## Memory\n\n"
        f"{result['facts']['events']:,} events: what each adds to Redis (a stream of few entries takes a whole node, so many users with short "
        "histories cost most), and the worker's memory (PSS of parent and one pool process) before and after. The bridge's event includes its "
        "seen mark; the peers have none. Redis streams as a queue keep what was handled.\n\n"
        + _table(["", "users", "Redis bytes/event", "worker MiB, before", "after"], lines)
        + "\n\nLess than the bridge need:\n"
        + "".join(_lighter(result, users) for users in sorted({row["users"] for row in result["rows"]}))
    )


def _lighter(result: dict[str, Any], users: int) -> str:
    rows = [row for row in _succeeded(result["rows"]) if row["users"] == users]
    return (
        f"\n- of Redis for an event, {users:,} users: {_ahead(result, rows, 'redis_bytes_an_event', 'bytes')}"
        f"\n- for the worker, {users:,} users: {_ahead(result, rows, 'worker_after_mib', 'MiB')}"
    )


def _scaling(result: dict[str, Any]) -> str:
    lines = []
    for row in result["rows"]:
        start = [
            result["labels"][row["peer"]],
            f"{row['events']:,}",
            f"{row['users']:,}",
            row["processes"],
        ]
        if "failed" in row:
            lines.append([*start, f"failed: {row['failed'][:60]}", "", "", ""])
            continue
        costs = (f"{row[key]['median']:,.1f}" for key in ("wall_us", "cpu_us", "worker_cpu_us", "redis_cpu_us"))
        lines.append([*start, *costs])
    swings = "".join(
        f"\n- {result['labels'][OURS]}, over {axis}: all processes {_swing(result, axis, 'cpu_us')}; of these the worker "
        f"{_swing(result, axis, 'worker_cpu_us')}, Redis {_swing(result, axis, 'redis_cpu_us')}; elapsed {_swing(result, axis, 'wall_us')}"
        for axis in ("events", "users")
    )
    return (
        "## Scaling\n\n"
        "What an event costs as the numbers grow: elapsed time, and processor time of all processes, of the worker and of Redis, in µs. "
        "Small bursts are repeated and averaged.\n\n"
        + _table(["", "events", "users", "workers", "elapsed", "CPU, all", "worker", "Redis"], lines)
        + f"\n\nFrom the middle of its range (aim for the processor time of all: ±15 %):{swings}\n\n"
        "Redis makes a stream for the first event of each user, which is what grows with users. The elapsed "
        "time of a small burst holds the way of its first message."
    )


def _swing(result: dict[str, Any], axis: str, key: str) -> str:
    """Half the range of a cost along an axis, as a share of the middle."""
    costs = [row[key]["median"] for row in _of(OURS, result["rows"]) if row["axis"] == axis]
    if not costs:
        return "not measured"
    return f"±{(max(costs) - min(costs)) / (max(costs) + min(costs)):.0%}"


def _imports(result: dict[str, Any]) -> str:
    rows = {row["peer"]: row for row in result["rows"]}
    lines = [[f"`{row['statement']}`", _range(row["ms"]), f"{row['modules']['median']:.0f}"] for row in result["rows"]]
    found = rows[OURS]["ms"]["median"] / rows["needs"]["ms"]["median"]
    unwanted = ", ".join(f"`{name}`" for name in result["facts"]["unwanted"]) or "none"
    return (
        "## Import\n\n"
        + _table(["", "ms", "modules"], lines)
        + f"\n\nAim: at most 1.3 times what its own needs take. Found: {found:.2f} times; "
        f"{'reached' if found <= 1.3 else '**not reached**'}. What a producer does not need and gets: {unwanted}."
    )


def _in_turns(result: dict[str, Any]) -> str:
    """The bridge alone, newer code beside older: what was measured since the rest of the page."""
    facts = result["facts"]
    lines = [
        [
            row["what"],
            _four_digits(row["before"]),
            _four_digits(row["now"]),
            row["commit"],
            f"{row['ratio']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
            row["rounds"],
        ]
        for row in result["rows"]
    ]
    return (
        "## Newer code\n\n"
        "All other figures of this page are of the commits that its first lines name. Since then the bridge was measured without the "
        f"peers, newer commits beside {facts['before']}, on one machine in turns. Ratio: the newer by the older, the median of all "
        f"rounds, and its 95 % interval by bootstrap; below 1 is less. {facts['how']}\n\n"
        + _table(["", facts["before"], "newer", "commit", "ratio", "rounds"], lines)
    )


def _four_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}"


_SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "in_turns": _in_turns,
    "bursts": _bursts,
    "single_emits": _single_emits,
    "script_ceiling": _script_ceiling,
    "producer_cost": _producer_cost,
    "latency": _latency,
    "memory": _memory,
    "scaling": _scaling,
    "imports": _imports,
}


def _not_measured(result: dict[str, Any]) -> str:
    missing = [f"{result['labels'].get(name, name)} ({reason})" for name, reason in result["missing"].items()]
    return f"Not measured: {'; '.join(missing)}." if missing else ""


def _settings(results: dict[str, Any]) -> str:
    result = next(iter(results.values()), None)
    if result is None:
        return ""
    lines = [[result["labels"][name], text] for name, text in result["settings"].items()]
    return "## Settings\n\nWhat the peers' documentation recommends for throughput.\n\n" + _table(
        ["", "settings"], lines
    )


def _table(header: Sequence[object], lines: Iterable[Sequence[object]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def _measured(rows: Rows) -> Rows:
    return [row for row in rows if "events_s" in row]


def _succeeded(rows: Rows) -> Rows:
    return [row for row in rows if not isinstance(row.get("failed"), str)]


def _of(peer: str, rows: Rows) -> Rows:
    return [row for row in _succeeded(rows) if row["peer"] == peer]


def _median(row: dict[str, Any] | None, key: str) -> float | None:
    return float(row[key]["median"]) if row else None


def _range(spread: dict[str, float]) -> str:
    if spread["runs"] == 1:
        return f"{spread['median']:,.0f}"
    return f"{spread['median']:,.0f} ({spread['lowest']:,.0f} to {spread['highest']:,.0f})"


def _time(us: float) -> str:
    if us < 1_000:
        return f"{us:.0f} µs"
    return f"{us / 1e3:.1f} ms" if us < 1e6 else f"{us / 1e6:.1f} s"


if __name__ == "__main__":
    main()
