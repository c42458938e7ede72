"""100,000 dead letters: grouping, a page, exporting, and replaying them all, by the commands. Minutes; `make scale`."""

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import redis

from bridge.local.redis_server import EmbeddedServer
from bridge.operations.letters import Letters
from bridge.operations.selection import Selection
from bridge.redis_adapter import connect, read_balance
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support.letters import a_failure, a_letter, bury
from tests.support.processes import COMMAND, clean_environment
from tests.support.worker import running_worker

USERS = 10_000
LETTERS = int(os.environ.get("SCALE_LETTERS", "100000"))
GROUPS_MAX_S = 2.0
PAGE_MAX_S = 0.2
REPLAYED_MIN_PER_S = 5000
MEMORY_MAX_KB = 150_000
TAIL_BYTES = 5000
READERS = ("dead groups", "dead list", "dead list --text needle", "dead users", "dead export")


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended well: how long it took, its memory at the most, and the end of what it printed."""

    seconds: float
    peak_kb: int
    output: str


def test_a_hundred_thousand_letters_are_grouped_listed_and_replayed(tmp_path: Path) -> None:
    with EmbeddedServer(folder=tmp_path / "redis") as server:
        settings = Settings(broker_url=server.url)
        (tmp_path / "moody").mkdir()
        environment = {
            "BRIDGE_BROKER_URL": server.url,
            "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
            "MOODY_DIR": str(tmp_path / "moody"),
        }
        with connect(settings) as client, running_worker(tmp_path, environment):
            _fill(client, settings)
            _read(client, settings)
            ran = {words: _run(words, environment, tmp_path / "output") for words in READERS}
            ran["dead redrive --dry-run"] = _run("dead redrive --dry-run", environment, tmp_path / "output")
            assert f"{LETTERS:,} published" in ran["dead redrive --dry-run"].output
            ran["dead redrive"] = replay = _run("dead redrive --yes --json", environment, tmp_path / "output")
            assert json.loads(replay.output)["succeeded"] == LETTERS
            assert read_balance(client).balanced
    for words, one in ran.items():
        print(f"{words}: {one.seconds:.2f} s, {one.peak_kb // 1000} MB")
    print(f"replayed {LETTERS / replay.seconds:,.0f} events/s")
    assert ran["dead groups"].seconds <= GROUPS_MAX_S
    assert max(one.peak_kb for one in ran.values()) < MEMORY_MAX_KB
    assert LETTERS / replay.seconds >= REPLAYED_MIN_PER_S


def _fill(client: redis.Redis, settings: Settings) -> None:
    """The mode lets the extractor count nothing: it is the bridge that is measured, and not 100,000 files."""
    failures = [a_failure(place=place) for place in range(12)]
    users = [uuid4() for _ in range(USERS)]
    for start in range(0, LETTERS, 1000):
        numbers = range(start, min(start + 1000, LETTERS))
        bury(
            client,
            settings,
            [a_letter(mode="sample", user_id=users[n % USERS], failure=failures[n % 12]) for n in numbers],
        )


def _read(client: redis.Redis, settings: Settings) -> None:
    """Without the half second in which Python starts."""
    letters = Letters(store_of(client, settings))
    begun = time.monotonic()
    page = letters.page(Selection())
    page_s = time.monotonic() - begun
    begun = time.monotonic()
    groups = letters.groups(Selection())
    groups_s = time.monotonic() - begun
    print(f"\nwithout the start of Python: page {page_s * 1000:.0f} ms, groups {groups_s:.2f} s")
    assert (len(groups), len(page.letters)) == (12, 50)
    assert page_s <= PAGE_MAX_S


def _run(words: str, environment: dict[str, str], output: Path) -> Ran:
    begun = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen([*COMMAND, *words.split()], env=clean_environment(environment), stdout=file)
        peak_kb = 0
        while process.poll() is None:
            # The kernel's own high-water mark; what wait4 tells would be at least that of this process.
            peak_kb = max(peak_kb, _peak_kb(process.pid))
            time.sleep(0.02)
    seconds = time.monotonic() - begun
    with output.open("rb") as file:
        file.seek(-min(TAIL_BYTES, output.stat().st_size), os.SEEK_END)
        tail = file.read().decode(errors="replace")
    assert process.returncode == 0, tail
    return Ran(seconds, peak_kb, tail)


def _peak_kb(pid: int) -> int:
    found = re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
