"""The benchmarks' own arithmetic, tables and drawing; nothing is measured here, and no peer is needed."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import fast_paths, report
from benchmarks.__main__ import QUESTIONS
from benchmarks.harness import workload
from benchmarks.harness.drawing import Bar, bars_svg
from benchmarks.harness.processes import ROOT, MeasurementError
from benchmarks.harness.questions import RUNS, Result, parse, rounds
from benchmarks.harness.statistics import percentile, ratio, spread
from benchmarks.harness.waiting import TooSlowError, wait_until
from benchmarks.peers import BY_NAME, PEERS
from benchmarks.script_ceiling import RANDOM, representative_batch
from bridge.catalogs.finance import REGISTRY


class TestStatistics:
    def test_a_percentile_lies_on_the_line_between_its_neighbours(self) -> None:
        assert percentile([4, 1, 3, 2], 50) == 2.5
        assert percentile([1, 2, 3], 0) == 1
        assert percentile([1, 2, 3], 100) == 3
        assert percentile(range(101), 99) == 99

    def test_nothing_has_no_percentile(self) -> None:
        with pytest.raises(ValueError, match="no values"):
            percentile([], 50)

    def test_a_spread_is_the_median_and_the_extremes(self) -> None:
        assert spread([30, 10, 20]).to_dict() == {"median": 20, "lowest": 10, "highest": 30, "runs": 3}

    def test_a_ratio_to_nothing_is_no_number(self) -> None:
        assert ratio(80, 2) == 40
        assert ratio(80, 0) is None


class TestRounds:
    def test_every_case_is_measured_once_a_round(self) -> None:
        order: list[str] = []

        def measure(case: str) -> dict[str, float]:
            order.append(case)
            return {"events_s": len(order)}

        rows = rounds(["a", "b"], 3, measure, str)

        assert order == ["a", "b"] * 3
        assert [row["events_s"]["median"] for row in rows] == [3, 4]

    @pytest.mark.parametrize("error", [TooSlowError, MeasurementError])
    def test_a_case_that_fails_is_told_and_the_others_go_on(self, error: type[Exception]) -> None:
        def measure(case: str) -> dict[str, float]:
            if case == "bad":
                raise error("it ended")
            return {"events_s": 1}

        bad, good = rounds(["bad", "good"], 2, measure, str)

        assert bad == {"failed": "it ended"}
        assert good["events_s"]["runs"] == 2

    def test_waiting_ends_at_its_deadline(self) -> None:
        with pytest.raises(TooSlowError, match="pigs fly"):
            wait_until(lambda: False, timeout_s=0.01, what="pigs fly")


class TestOptions:
    def test_five_runs_are_the_default_and_quick_takes_a_tenth_of_the_events(self) -> None:
        assert parse("", []).runs == RUNS == 5
        assert parse("", []).scaled(50_000) == 50_000
        assert parse("", ["--quick"]).scaled(50_000) == 5_000
        assert parse("", ["--quick", "--runs", "3"]).runs == 3

    def test_only_known_peers_are_taken(self) -> None:
        assert [peer.name for peer in parse("", ["--peers", "bridge,dramatiq"]).taking_part()] == ["bridge", "dramatiq"]
        with pytest.raises(SystemExit):
            parse("", ["--peers", "nobody"])

    @pytest.mark.parametrize("name", QUESTIONS)
    def test_every_question_is_a_file_that_explains_itself(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        from importlib import import_module

        with pytest.raises(SystemExit) as ending:
            import_module(f"benchmarks.{name}").main(["--help"])

        assert ending.value.code == 0
        assert "--quick" in capsys.readouterr().out


class TestPeers:
    def test_every_peer_has_a_name_of_its_own_and_a_module(self) -> None:
        assert len(BY_NAME) == len(PEERS)
        for peer in PEERS:
            assert (ROOT / (peer.module.replace(".", "/") + ".py")).exists(), peer.name

    def test_commands_name_the_number_of_processes(self) -> None:
        assert len(BY_NAME["faststream"].commands(2)) == 2
        (celery,) = BY_NAME["celery_redis"].commands(2)
        assert celery[celery.index("--concurrency") + 1] == "2"
        assert BY_NAME["in_process"].commands(2) == []

    def test_a_peer_in_another_environment_says_when_that_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("BENCH_BATCHES_PYTHON", raising=False)
        assert "BENCH_BATCHES_PYTHON" in (BY_NAME["celery_batches"].missing() or "")


class TestWork:
    def test_every_event_of_the_workload_has_a_mapping_and_an_id_of_its_own(self) -> None:
        events = list(workload.events(40, 7))
        assert {type(event) for event in events} <= set(REGISTRY.by_class)
        assert len({event.event_id for event in events}) == 40
        assert len({event.user_id for event in events}) == 7

    def test_a_representative_batch_is_new_in_every_call(self) -> None:
        keys, limits, batch = representative_batch(10)
        assert keys[0] == "sse:position"
        assert limits[0] == "1000"
        assert batch.count(RANDOM.encode()) == 10


class TestReport:
    def test_the_page_says_who_won_who_failed_and_who_was_missing(self, tmp_path: Path) -> None:
        page = _page(
            tmp_path, [_row("bridge", 1, 900), _row("celery_redis", 1, 30), _row("faststream_batch", 1, 1_000)]
        )
        assert "| bridge | 1 | 900 | 1.0 |" in page
        assert "| Celery, Redis | 1 | 30 | 30.0 |" in page
        assert "Faster than the bridge here: FastStream, Redis stream, batch subscriber (1)." in page
        assert "Found: 30.0 times; **not reached**" in page
        assert "Dramatiq, Redis (dramatiq is not installed)" in page

    def test_a_failed_measurement_stays_on_the_page(self, tmp_path: Path) -> None:
        page = _page(tmp_path, [_row("bridge", 1, 900), {"peer": "taskiq", "processes": 1, "failed": "it ended"}])
        assert "| Taskiq, Redis stream | 1 | failed: it ended |" in page
        assert "No peer was faster here." in page

    def test_a_quick_run_is_called_preliminary(self, tmp_path: Path) -> None:
        assert "**Preliminary**" in _page(tmp_path, [_row("bridge", 1, 900)])

    def test_a_call_that_was_still_blocked_is_a_lower_bound(self, tmp_path: Path) -> None:
        values = {"p50_us": 606_000.0, "p99_us": 4e6, "max_us": 4e6, "calls": 7, "failed": 6, "blocked_s": 4.0}
        row = {"peer": "celery_redis", "state": "frozen"} | {k: spread([v]).to_dict() for k, v in values.items()}
        page = _page_of(tmp_path, "producer_cost", [row], {"rate": 1_000, "seconds": 2, "given_up_after_s": 4})
        assert "| Celery, Redis | frozen | 606.0 ms | ≥ 4.0 s | ≥ 4.0 s | 6 of 7 |" in page

    def test_the_page_says_who_is_sooner_among_those_that_did_the_job(self, tmp_path: Path) -> None:
        rows = [
            _latency_row("bridge", p50_ms=3.0),
            _latency_row("faststream", p50_ms=1.5),
            _latency_row("taskiq", p50_ms=1.0, sent_s=600.0),
            _latency_row("dramatiq", p50_ms=9.0),
        ]
        page = _page_of(tmp_path, "latency", rows, {"seconds": 2, "users": 10, "grace_s": 5})
        assert "- at 1,000/s: FastStream, Redis stream (1.5 ms)\n" in page

    def test_the_page_says_who_needs_less_memory(self, tmp_path: Path) -> None:
        rows = [_memory_row("bridge", 500, 80), _memory_row("celery_redis", 300, 90), _memory_row("in_process", 600, 0)]
        page = _page_of(tmp_path, "memory", rows, {"events": 1_000})
        assert "- of Redis for an event, 10 users: Celery, Redis (300.0 bytes)\n" in page
        assert "- for the worker, 10 users: none\n" in page

    def test_the_page_says_how_newer_code_compares_and_which_code_the_rest_is_of(self, tmp_path: Path) -> None:
        row = {"what": "events/s", "before": 8_000.4, "now": 6.0, "commit": "abcdef0", "rounds": 5}
        row |= {"ratio": 0.75, "low": 0.7, "high": 0.8}
        page = _page_of(tmp_path, "in_turns", [row], {"before": "1234567", "how": "Load 2."})
        assert "| events/s | 8,000 | 6 | abcdef0 | 0.750 (0.700 to 0.800) | 5 |" in page
        assert "newer commits beside 1234567, on one machine in turns" in page

    def test_the_drawing_is_well_formed_and_shows_each_bar(self, tmp_path: Path) -> None:
        _page(tmp_path, [_row("bridge", 1, 900), _row("celery_redis", 1, 30)])
        drawing = ElementTree.fromstring((tmp_path / "page.svg").read_text())
        labels = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
        assert "bridge: burst" in labels
        assert "Celery, Redis: burst" in labels

    def test_equal_bars_can_be_drawn(self) -> None:
        bar = Bar(label="a <b>", value=10, lowest=10, highest=10, ours=True)
        assert "a &lt;b&gt;" in bars_svg("t", "u", [bar])

    def test_a_page_without_results_says_so(self, tmp_path: Path) -> None:
        report.main(["--results", str(tmp_path), "--page", str(tmp_path / "page.md")])
        assert "There are no results yet." in (tmp_path / "page.md").read_text()


def _row(peer: str, processes: int, rate: float) -> dict[str, Any]:
    names = ("events_s", "worker_cpu_us", "redis_cpu_us", "producer_cpu_us")
    return {"peer": peer, "processes": processes, **{name: spread([rate]).to_dict() for name in names}}


def _latency_row(peer: str, **values: float) -> dict[str, Any]:
    measured = {"p50_ms": 1.0, "p99_ms": 5.0, "sent_s": 1_000.0, "arrived_share": 1.0} | values
    spreads = {name: spread([value]).to_dict() for name, value in measured.items()}
    return {"peer": peer, "to": "channel", "rate": 1_000, **spreads}


def _memory_row(peer: str, redis_bytes: float, worker_mib: float) -> dict[str, Any]:
    measured = {
        "redis_bytes_an_event": redis_bytes,
        "worker_start_mib": worker_mib,
        "worker_after_mib": worker_mib,
    }
    return {"peer": peer, "users": 10, **{name: spread([value]).to_dict() for name, value in measured.items()}}


def _page_of(folder: Path, question: str, rows: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    result = Result(question, "How?", parse("", ["--quick", "--results", str(folder)]), rows=rows)
    result.facts = facts
    result.write()
    report.main(["--results", str(folder), "--page", str(folder / "page.md")])
    return (folder / "page.md").read_text()


def _page(folder: Path, rows: list[dict[str, Any]]) -> str:
    result = Result("bursts", "How fast?", parse("", ["--quick", "--results", str(folder)]))
    result.rows = rows
    result.missing["dramatiq"] = "dramatiq is not installed"
    assert json.loads(result.write().read_text())["machine"]["packages"]["celery"]
    report.main(["--results", str(folder), "--page", str(folder / "page.md")])
    return (folder / "page.md").read_text()


class TestFastPaths:
    def test_every_pair_is_measured_and_both_ways_run(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(fast_paths, "EVENTS", 8)
        fast_paths.main(["--rounds", "1"])
        rows = [line for line in capsys.readouterr().out.splitlines() if " ~ " in line]
        assert len(rows) == 9
