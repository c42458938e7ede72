"""docs/api/ is what the docstrings say, and they say all that a stranger needs; a change in the code shows up here."""

from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest

from reference.entry_points import EntryPoint, entry_points
from reference.faults import faults
from reference.inherited import docstring_of
from reference.names import Names
from reference.pages import FOLDER, pages
from reference.raising import raised_by

ROOT = Path(__file__).resolve().parents[2]
STANDS_FOR_OLDER = "bridge.redis_adapter.older_redis_py."
"""Its methods are redis-py's own, in front of releases that lack them."""


@pytest.fixture(scope="module")
def points() -> list[EntryPoint]:
    return entry_points(ROOT)


@pytest.fixture(scope="module")
def made(points: list[EntryPoint]) -> dict[str, str]:
    return pages(points, ROOT)


def test_the_pages_are_what_make_docs_writes(made: dict[str, str]) -> None:
    written = {page.name: page.read_text(encoding="utf-8") for page in (ROOT / FOLDER).glob("*.md")}
    old = sorted(name for name in written.keys() | made.keys() if written.get(name) != made.get(name))
    assert old == [], f"{', '.join(old)} of {FOLDER}: run make docs"


def test_every_public_name_says_what_it_takes_and_raises(points: list[EntryPoint]) -> None:
    assert [fault for point in points for fault in faults(point, Names(points, point))] == []


def test_no_two_headings_of_a_page_are_one_anchor(made: dict[str, str]) -> None:
    for name, text in made.items():
        headings = [line.lower() for line in text.splitlines() if line.startswith("#")]
        assert len(headings) == len(set(headings)), name


def test_every_entry_point_has_its_names(points: list[EntryPoint]) -> None:
    offered = {point.path: {entry.name for entry in point.entries} for point in points}
    assert all(offered.values()), "an entry point without names: give it an __all__"
    assert {"emit", "Registry", "EVERYONE"} <= offered["bridge"]
    assert {"app", "Principal", "Authenticator"} <= offered["bridge.gateway"]
    assert "emitted" in offered["sse_bridge_pytest"]
    assert {"bridge.contrib.django", "bridge.contrib.fastapi", "bridge.contrib.sqlalchemy"} <= offered.keys()


# What is found wanting, in a package that is made for it

PACKAGE = '''"""A entry point."""

__all__ = ["Kind", "call", "silent", "told"]


def silent(value):
    return value


def told(value: int) -> int:
    """Double ``value``.

    Raises:
        ValueError: it is negative.
    """
    if value < 0:
        raise ValueError
    return value * 2


def call(value: int, other: int) -> None:
    """Ask another.

    Args:
        other: anything.
        gone: what it took once.
    """
    try:
        _refuse(value)
    except KeyError:
        raise TypeError from None


def _refuse(value: int) -> None:
    if value > 1:
        raise LookupError
    raise KeyError


class Kind:
    """A class."""

    def act(self, how: str) -> None:
        """Act."""
        raise OSError(how)

    # For the bridge itself

    def hidden(self, how: str) -> None:
        raise OSError(how)
'''


@pytest.fixture(scope="module")
def wanting(tmp_path_factory: pytest.TempPathFactory) -> list[EntryPoint]:
    root = tmp_path_factory.mktemp("root")
    for package in ("bridge", "sse_bridge_pytest"):
        (root / package).mkdir()
        (root / package / "__init__.py").write_text('"""Ours."""\n')
    for name in ("gateway", "worker", "ops", "testing"):
        (root / "bridge" / f"{name}.py").write_text('"""Ours."""\n')
    (root / "bridge" / "contrib").mkdir()
    (root / "bridge" / "contrib" / "__init__.py").write_text('"""Ours."""\n')
    (root / "bridge" / "contrib" / "framework.py").write_text(PACKAGE)
    return entry_points(root)


def test_what_a_docstring_leaves_out_is_named(wanting: list[EntryPoint]) -> None:
    point = next(point for point in wanting if point.path == "bridge.contrib.framework")
    assert list(faults(point, Names(wanting, point))) == [
        "bridge.contrib.framework.silent has no docstring.",
        "bridge.contrib.framework.call does not describe its parameter 'value'.",
        "bridge.contrib.framework.call describes gone, which it does not take.",
        "bridge.contrib.framework.call raises LookupError, and does not say so.",
        "bridge.contrib.framework.call raises TypeError, and does not say so.",
        "bridge.contrib.framework.Kind.act does not describe its parameter 'how'.",
        "bridge.contrib.framework.Kind.act raises OSError, and does not say so.",
    ]


def test_an_exception_that_is_caught_is_none_of_the_callers() -> None:
    with griffe.temporary_visited_module(
        "from contextlib import suppress\n"
        "def quiet():\n    with suppress(ValueError):\n        raise ValueError\n"
        "def handled():\n    try:\n        raise KeyError\n    except LookupError:\n        return\n"
        "def other():\n    try:\n        raise OSError\n    except LookupError:\n        return\n"
    ) as module:
        assert [raised_by(module[name]) for name in ("quiet", "handled", "other")] == [set(), set(), {"OSError"}]


def test_a_method_without_a_docstring_keeps_a_ports_promise(points: list[EntryPoint]) -> None:
    silent = [one.path for one in public_within(points[0].module) if not docstring_of(one).summary]
    assert [path for path in silent if not path.startswith(STANDS_FOR_OLDER)] == []


def public_within(owner: griffe.Object) -> Iterator[griffe.Object]:
    for name, member in owner.members.items():
        if not member.is_alias and not name.startswith(("_", "0")) and not member.is_attribute:
            yield member
            yield from public_within(member) if not member.is_function else ()
