"""100,000 dead letters: grouping, a page, and replaying them all. Minutes; `make scale`."""

import os
import resource
import time
from pathlib import Path

import redis

from bridge.embedded.server import EmbeddedServer
from bridge.operations.letters import Letters
from bridge.operations.replay import Replays, ReplayState
from bridge.operations.selection import Selection
from bridge.settings import Settings
from bridge.store import connect, read_balance
from tests.support.letters import a_failure, a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.processes import run_cli
from tests.support.worker import running_worker

LETTERS = int(os.environ.get("SCALE_LETTERS", "100000"))
GROUPS_MAX_S = 2.0
PAGE_MAX_S = 0.2
REPLAYED_MIN_PER_S = 5000
MEMORY_MAX_KB = 200_000


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
            _read(client, settings, environment)
            _replay(client, settings)


def _fill(client: redis.Redis, settings: Settings) -> None:
    failures = [a_failure(place=place) for place in range(12)]
    for start in range(0, LETTERS, 1000):
        bury(client, settings, [a_letter(failure=failures[n % 12]) for n in range(start, min(start + 1000, LETTERS))])


def _read(client: redis.Redis, settings: Settings, environment: dict[str, str]) -> None:
    letters = Letters(client, settings)
    groups_s, groups = timed(lambda: letters.groups(Selection()))
    page_s, page = timed(lambda: letters.page(Selection()))
    assert (len(groups), len(page.letters)) == (12, 50)
    commands = {
        words: timed(lambda words=words: run_cli(*words.split(), environment=environment))
        for words in ("dead groups", "dead list", "dead list --json")
    }
    assert all(answer.returncode == 0 for _, answer in commands.values())
    print(f"\ngroups {groups_s:.2f} s, page {page_s * 1000:.0f} ms")
    print("as whole commands:", {words: f"{seconds:.2f} s" for words, (seconds, _) in commands.items()})
    assert groups_s <= GROUPS_MAX_S
    assert commands["dead groups"][0] <= GROUPS_MAX_S
    assert page_s <= PAGE_MAX_S


def _replay(client: redis.Redis, settings: Settings) -> None:
    replays = Replays(client, settings, registry)
    seconds, status = timed(lambda: replays.run(replays.begin(Selection())))
    memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"replayed {status.succeeded} in {seconds:.1f} s: {status.succeeded / seconds:.0f}/s; memory {memory_kb} kB")
    assert (status.state, status.succeeded) == (ReplayState.DONE, LETTERS)
    assert read_balance(client).balanced
    assert memory_kb < MEMORY_MAX_KB
    assert status.succeeded / seconds >= REPLAYED_MIN_PER_S


def timed(act):  # type: ignore[no-untyped-def]
    begun = time.monotonic()
    found = act()
    return time.monotonic() - begun, found
