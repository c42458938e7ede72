"""The pages for maintainers: what they name exists, and each is linked from where a maintainer begins."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.worker import ROOT

DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("0*.md"))
NAMES = ("life-of-a-message", "changing", "troubleshooting", "upgrading", "fast-paths")
PAGES = [*(DOCS / f"{name}.md" for name in NAMES), DOCS / "decisions" / "README.md", *DECISIONS]
ALL = [ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
DECISION_LINES_MAX = 40

PLACE = re.compile(
    r"`((?:bridge|tests|docs|deploy|examples|benchmarks|\.ci)/[\w./*-]*|pyproject\.toml|Makefile|constraints\.txt)(?:::([\w.]+))?"
)
EVENT = re.compile(r"`(bridge\.(?!worker:|gateway:|ops:)[a-z_]+\.[a-z_]+)`")


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def names_in(path: Path) -> set[str]:
    """Functions, classes, methods and constants of a file, methods with their class; of a script its functions."""
    text = path.read_text()
    if path.suffix != ".py":
        return set(re.findall(r"function ([\w.]+)", text))
    found: set[str] = set()
    todo: list[tuple[str, ast.AST]] = [("", ast.parse(text))]
    while todo:
        before, node = todo.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found |= {child.name, before + child.name}
                todo.append((f"{before}{child.name}.", child))
            elif isinstance(child, ast.Assign | ast.AnnAssign):
                targets = child.targets if isinstance(child, ast.Assign) else [child.target]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
            elif isinstance(child, ast.If | ast.With | ast.Try):
                todo.append((before, child))
    return found


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_file_and_function_that_a_page_names_exists(page: Path) -> None:
    missing = []
    for place, name in PLACE.findall(page.read_text()):
        files = sorted(ROOT.glob(place.rstrip("/"))) if "*" in place else [ROOT / place]
        if not files or not all(file.exists() for file in files):
            missing.append(place)
        elif name and name not in names_in(files[0]):
            missing.append(f"{place}::{name}")
    assert missing == []


def test_every_step_of_the_walk_exists() -> None:
    text = (DOCS / "life-of-a-message.md").read_text()
    steps = re.findall(
        r"^  (\S+/\S+\.\w+)(?: +([\w.]+))?", text.partition("```text\n")[2].partition("```")[0], re.MULTILINE
    )
    assert len(steps) > 60
    missing = [
        f"{place} {name}"
        for place, name in steps
        if not (ROOT / "bridge" / place).exists()
        or (place.endswith(".py") and name not in names_in(ROOT / "bridge" / place))
    ]
    assert missing == []


@pytest.mark.parametrize("page", [page for page in PAGES if EVENT.search(page.read_text())], ids=shown)
def test_every_log_event_that_a_page_names_is_logged(page: Path) -> None:
    code = "\n".join(file.read_text() for file in (ROOT / "bridge").rglob("*.py"))
    logged = set(re.findall(r"\"(bridge\.[a-z_]+\.[a-z_]+)(?=[ :\"])", code))
    assert set(EVENT.findall(page.read_text())) <= logged


@pytest.mark.parametrize("page", DECISIONS, ids=shown)
def test_a_decision_is_short_and_says_why_what_and_what_was_measured(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert len(lines) <= DECISION_LINES_MAX
    assert lines[0].startswith(f"# {page.name[:4]} ")
    parts = [re.split(r"[. *]", line.removeprefix("**"))[0] for line in lines if line.startswith("**")]
    assert parts == ["Context", "Decision", "Measured", "Consequences"]


def test_every_room_and_every_test_has_its_place_in_the_table_of_suites() -> None:
    table = (DOCS / "changing.md").read_text().partition("## From the module to the suite")[2]
    named = {file for place, _ in PLACE.findall(table) for file in ROOT.glob(place.rstrip("/"))}
    rooms = {path.parent for path in (ROOT / "bridge").glob("*/__init__.py")}
    tests = {path for suite in ("unit", "integration", "fault") for path in (ROOT / "tests" / suite).glob("test_*.py")}
    assert sorted(map(shown, (rooms | tests) - named)) == [], "give it a place in the last table of docs/changing.md"


def test_decisions_are_numbered_without_a_hole_and_listed() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (DOCS / "decisions" / "README.md").read_text())
    assert listed == [page.name for page in DECISIONS]


@pytest.mark.parametrize("start", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_each_page_is_linked_from_where_a_maintainer_begins(start: str) -> None:
    text = (ROOT / start).read_text()
    names = [*(f"{name}.md" for name in NAMES), "decisions/README.md"]
    assert [name for name in names if not re.search(rf"\]\((?:docs/)?{name}[)#]", text)] == []


@pytest.mark.parametrize("page", ALL, ids=shown)
def test_every_link_leads_to_a_page_and_a_heading_that_exist(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (heading and heading not in headings_of(file)):
            lost.append(target)
    assert lost == []


def test_every_part_of_the_operators_manual_is_in_its_table_of_contents() -> None:
    page = DOCS / "operating.md"
    contents = page.read_text().partition("\n## ")[0]
    assert sorted(headings_of(page) - {"operating"} - set(re.findall(r"\]\(#([^)]+)\)", contents))) == []


def headings_of(page: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}
