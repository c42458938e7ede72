"""``Tutorials``: where the pages for readers show a public name in use, by the imports in their Python blocks."""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reference.entry_points import EntryPoint
from reference.names import anchor

HEADING = re.compile(r"^#+ (.*)$")
LINKS_MAX = 3


class Tutorials:
    """The README and the pages of docs/, but for the decisions and the reference itself."""

    def __init__(self, root: Path, points: list[EntryPoint]) -> None:
        self._shown: dict[tuple[str, str], dict[str, str]] = {}  # point and name → page → link
        fixtures = {(point.path, entry.name) for point in points if point.is_plugin for entry in point.entries}
        for page in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
            lines = page.read_text(encoding="utf-8").splitlines()
            for heading, code in _blocks(lines):
                link = f"[{heading}]({'../' * (2 if page.parent == root else 1)}{page.name}#{_anchor(heading)})"
                for use in {*_imports(code), *(use for use in fixtures if _is_asked_for(use[1], code))}:
                    self._shown.setdefault(use, {}).setdefault(page.name, link)

    def links(self, point: EntryPoint, name: str) -> list[str]:
        """Links to the sections that show a name, a page each."""
        return list(self._shown.get((point.path, name), {}).values())[:LINKS_MAX]


def _blocks(lines: list[str]) -> Iterator[tuple[str, ast.Module]]:
    """The Python blocks of a page, with the heading above each; what is no Python by itself is left out."""
    heading = ""
    block: list[str] | None = None
    for line in lines:
        if block is None:
            found = HEADING.match(line)
            heading = found[1] if found else heading
            block = [] if line.strip() == "```python" else None
        elif line.strip() == "```":
            with suppress(SyntaxError):
                yield heading, ast.parse("\n".join(block))
            block = None
        else:
            block.append(line)


def _imports(code: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(code):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            yield ast.unparse(node.value), node.attr


def _is_asked_for(fixture: str, code: ast.Module) -> bool:
    return any(isinstance(node, ast.arg) and node.arg == fixture for node in ast.walk(code))


def _anchor(heading: str) -> str:
    return anchor(heading.strip().replace(" ", "-"))
