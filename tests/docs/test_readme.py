"""README and the pages under docs/: short, linked, and true where a machine can tell."""

import json
import re
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter
from bridge.catalogs.finance import REGISTRY, FileImportSucceeded
from bridge.cli.app import COMMANDS
from bridge.local.redis_server import free_port
from bridge.model.pipeline import EventCodec
from bridge.settings import DECLARATIONS, Settings, environment_name
from tests.docs.test_maintainers_pages import names_in
from tests.support.snippets import sentences
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.worker import ROOT, clean_environment

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

README_LINES_MAX = 165
ADVICE_MAX = 1
"""Sentences that promise nothing: when to take something else."""
FIRST_CODE_BY_LINE = 25


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def run(code: str, broker_url: str) -> None:
    """Run a block as a program of its own, as a reader would."""
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": broker_url}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
    )
    assert result.returncode == 0, result.stderr


def test_the_readme_is_short_and_shows_code_early() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= README_LINES_MAX
    assert next(number for number, line in enumerate(lines, 1) if line.startswith("```")) <= FIRST_CODE_BY_LINE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    inside = [target.partition("#")[0] for target in targets if not target.startswith(("http://", "https://", "#"))]
    assert [target for target in inside if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_named_setting_command_and_target_exists(page: Path) -> None:
    text = page.read_text()
    settings = {environment_name(field) for field in DECLARATIONS}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bBRIDGE_[A-Z_]*[A-Z]\b", text)) <= settings
    assert set(re.findall(r"`sse-bridge ([a-z]+)", text)) <= set(COMMANDS)
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


def test_the_readme_says_what_is_delivered_how_often_and_within_which_window() -> None:
    text = " ".join(README.read_text().split())
    settings = Settings()
    assert settings.stream_ttl_s == 3600, "an hour"
    for said in (
        "Delivery is at-least-once, with deduplication",
        "at most once within the window `BRIDGE_SEEN_TTL_S`",
        f"The window is {settings.seen_life_s // 60} minutes by default",
        "The dual-write gap",
        f"(up to {settings.emit_buffer_max:,} while the broker is away)",
        f"{settings.stream_maxlen} events a user for an hour by default",
    ):
        assert said in text, said
    assert settings.seen_life_s > settings.visibility_timeout_s + settings.stream_ttl_s, "longer than it can come back"


def test_every_sentence_is_held_by_a_test() -> None:
    entries = tomllib.loads((ROOT / "tests" / "docs" / "readme_sentences.toml").read_text())["sentence"]
    assert [entry["says"] for entry in entries] == sentences(README.read_text()), "give each sentence its tests"
    assert sum(entry.get("advice", False) for entry in entries) <= ADVICE_MAX
    assert all(entry.get("advice") or entry["held_by"] for entry in entries)
    tests = {test for entry in entries for test in entry.get("held_by", ())}
    missing = [test for test in tests if test.partition("::")[2] not in names_in(ROOT / test.partition("::")[0])]
    assert missing == []


def test_the_readme_asks_for_the_python_that_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Python {project['requires-python'].removeprefix('>=')} or later" in README.read_text()


def test_emit_takes_microseconds_of_the_caller_while_the_broker_is_away() -> None:
    event = FileImportSucceeded(user_id=uuid4(), file_name="may.csv", transaction_count=42)
    emitter = Emitter(Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0"), REGISTRY)
    took_ns = []
    for _ in range(1_001):
        begun_ns = time.thread_time_ns()
        assert emitter.emit(event)
        took_ns.append(time.thread_time_ns() - begun_ns)
    emitter.close(0)
    assert statistics.median(took_ns) < 200_000, "one or two microseconds, and more where a machine is slow"


def test_the_catalog_is_as_large_as_the_readme_says() -> None:
    assert f"The built-in catalog has {len(REGISTRY.event_types)} event types" in README.read_text()


def test_the_readmes_first_event_reaches_the_broker(redis_url: str, redis_client: redis.Redis) -> None:
    run(blocks(README, "python")[0], redis_url)
    assert redis_client.llen("bridge.import") == 1


def test_the_readmes_own_registry_is_valid(redis_url: str) -> None:
    code = blocks(README, "python")[1]
    run(code + "\nassert registry.queues == ('bridge.orders',)\n", redis_url)


def test_the_message_of_a_plain_celery_client_is_one_of_ours(redis_url: str, redis_client: redis.Redis) -> None:
    [code] = blocks(ROOT / "docs" / "wire-format.md", "python")
    run(code, redis_url)
    [queued] = redis_client.lrange("bridge.import", 0, -1)
    message = json.loads(queued)
    assert message["headers"]["task"] == "bridge.FileImportSucceeded"


def test_the_envelope_of_the_wire_format_is_read() -> None:
    raw = json.loads(blocks(ROOT / "docs" / "wire-format.md", "json")[0])
    mapping = REGISTRY.mapping_named(raw["type"])
    assert mapping is not None
    event = EventCodec(mapping.domain_event_class).decode(json.dumps(raw).encode())
    assert mapping.payload_extractor(event) == {"file_name": "may.csv", "records_imported": 42}
