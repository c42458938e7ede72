"""One word per idea: the private words that were given up stay out of the package, its messages and its pages."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.worker import ROOT

SUFFIXES = {".py", ".lua", ".html", ".js", ".css", ".md", ".yml", ".json"}
READ = [
    *(page for page in (ROOT / "bridge").rglob("*") if page.suffix in SUFFIXES),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "deploy").glob("*.yml"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "deploy/grafana-dashboard.json")),
]

RETIRED = {
    "law": "registry, catalog",
    "heart": "pipeline, model",
    "door": "entry point, input, endpoint",
    "lobby": "local stack, command",
    "household": "local stack",
    "desk": "page context; the places of one user's readers",
    "tether": "a child that ends with its parent",
    "parcel": "addressed event",
    "stray": "late failure",
    "foresight": "dry run",
    "fitness": "message validation",
    "guilty": "poison message",
    "innocent": "message that was claimed beside a poison one",
    "books": "accounting",
    "whom": "recipient, user, audience",
    "nobody": "no recipient, no worker, no process; or the passive",
    "for ever": "forever",
    "at the most": "at most",
    "those of": "name the thing",
    "let go": "drop, release, close",
    "hands of": "claimed by, held by",
    "worker's hands": "claimed by a worker",
    "workers' hands": "claimed by workers",
}
"""Word → what is said instead. Names are read as words, too: ``end_stray`` and ``EndStray`` hold *stray*."""

KEPT = {
    "door": r"test_front_door\.py",
    "stray": r"bridge_events_stray|\bstrays?\b|STRAYS|strays_key|(add|end)_stray",
    "books": r"bridge\.books\.away|bridge_books_difference|BridgeBooksUnbalanced",
    "parcel": r"parcel\.shipped|ParcelShipped|the parcels\b",
}
"""Names of the wire, of keys, metrics and log events, which are promises; and the parcels of docs/incident.md."""
KEPT_IN = {"stray": ("bridge/", "docs/glossary.md", "docs/architecture.md", "docs/operating.md", "docs/wire-format.md")}
"""The wire name of a late failure (glossary), where its key, its count and its metric are made or explained."""


@functools.cache
def lines_of(path: Path) -> list[tuple[str, str]]:
    """Each line of a file, and its words."""
    return [(line, words_of(line)) for line in path.read_text().splitlines()]


def words_of(text: str) -> str:
    """The text with names taken apart: ``EndStray`` and ``end_stray`` are two words."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return re.sub(r"[\s_]+", " ", text).lower()


def found_in(path: Path, word: str) -> Iterator[str]:
    kept = KEPT.get(word) if any(str(path.relative_to(ROOT)).startswith(p) for p in KEPT_IN.get(word, ("",))) else None
    retired = re.compile(rf"\b{word}s?\b")
    for number, (line, words) in enumerate(lines_of(path), 1):
        if retired.search(words) and (not kept or retired.search(words_of(re.sub(kept, "", line)))):
            yield f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_word_does_not_come_back(word: str) -> None:
    found = [one for path in READ for one in found_in(path, word)]
    assert not found, f"say {RETIRED[word]!r} instead of {word!r}:\n" + "\n".join(found[:20])


FORMER_ROOMS = {"broker": "messages, redis_adapter, amqp_adapter", "embedded": "local"}
"""Rooms that were given up: no test is named as one of theirs."""


def test_no_file_is_named_by_a_retired_word() -> None:
    files = [
        *(ROOT / "bridge").rglob("*.*"),
        *(ROOT / "tests").rglob("test_*.py"),
        *(ROOT / "tests" / "support").glob("*.py"),
    ]
    stems = {(str(file.relative_to(ROOT)), words_of(file.stem)) for file in files if "__pycache__" not in file.parts}
    retired = re.compile(rf"\b({'|'.join(RETIRED)})\b|^test ({'|'.join(FORMER_ROOMS)})\b")
    assert sorted(name for name, words in stems if retired.search(words) and not re.search("front_door", name)) == []


def test_a_replay_is_for_clients_and_a_redrive_for_dead_letters() -> None:
    mixed = re.compile(
        r"\breplay(s|ed|ing)?\b[^.|`]{0,40}\b(dead )?letters?\b|\bletters?\b[^.|`]{0,40}\breplay(s|ed|ing)?\b", re.I
    )
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", *(ROOT / "bridge").rglob("*.html")]
    assert [found for page in pages for found in mixed.findall(page.read_text())] == []
