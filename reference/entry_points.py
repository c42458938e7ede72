"""``entry_points``: the modules that others import from, and what each offers, found in the source."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import griffe

NAMED = ("bridge", "bridge.gateway", "bridge.worker", "bridge.ops", "bridge.testing")
INTEGRATIONS = "bridge.contrib"
"""Each module in here is an entry point, and each below that has an ``__all__``."""
PLUGIN = "sse_bridge_pytest"
"""What it offers are its fixtures."""
OPTIONS = griffe.GoogleOptions(warnings=False, returns_named_value=False, returns_multiple_items=False)


@dataclass(frozen=True, slots=True)
class PublicName:
    """A name that an entry point offers."""

    name: str  # as it is imported
    topic: str  # title of the comment that it stands under; empty: none
    thing: Any  # griffe's Function, Class or Attribute


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A module that others import from."""

    module: griffe.Module
    entries: tuple[PublicName, ...]  # in the order of the source

    @property
    def path(self) -> str:
        """As it is imported."""
        return str(self.module.path)

    @property
    def topics(self) -> list[str]:
        """Each once, in order."""
        return list(dict.fromkeys(entry.topic for entry in self.entries))

    @property
    def is_plugin(self) -> bool:
        """Whether its names are fixtures."""
        return self.path == PLUGIN


def entry_points(root: Path) -> list[EntryPoint]:
    """Every entry point of a checkout, in the order of its pages.

    Raises:
        griffe.AliasResolutionError: an ``__all__`` has a name that is nowhere.
    """
    loader = griffe.GriffeLoader(search_paths=[root], docstring_parser="google", docstring_options=OPTIONS)
    package, plugin = (loader.load(name, try_relative_path=False) for name in ("bridge", PLUGIN))
    loader.resolve_aliases()
    named = [package[name.partition(".")[2]] if "." in name else package for name in NAMED]
    integrations = sorted(_integrations(package[INTEGRATIONS.partition(".")[2]]), key=lambda module: module.path)
    return [EntryPoint(module, tuple(_entries(module))) for module in (*named, plugin, *integrations)]


def _integrations(module: Any, depth: int = 0) -> Iterator[Any]:
    if depth == 1 or (depth and module.exports is not None):
        yield module
    for inner in (one for one in module.modules.values() if not one.is_alias):
        yield from _integrations(inner, depth + 1)


def _entries(module: Any) -> Iterator[PublicName]:
    source = module.filepath.read_text(encoding="utf-8")
    offered = _fixtures(module) if module.path == PLUGIN else set(map(str, module.exports or ()))
    for name, line in _places(source).items():
        if name in offered:
            found = module.members[name]
            yield PublicName(name, _topic(source.splitlines(), line), found.final_target if found.is_alias else found)


def _fixtures(module: Any) -> set[str]:
    return {
        name
        for name, function in module.functions.items()
        if not name.startswith("_")
        and any(str(decorator.value).startswith("pytest.fixture") for decorator in function.decorators)
    }


def _places(source: str) -> dict[str, int]:
    """Name → line where a module first binds it, under ``if`` too."""
    found: dict[str, int] = {}
    todo = list(ast.parse(source).body)
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.If):
            todo = [*node.body, *todo]
        for name in _bound_by(node):
            found.setdefault(name, node.lineno)
    return found


def _bound_by(node: ast.stmt) -> list[str]:
    match node:
        case ast.ImportFrom() | ast.Import():
            return [alias.asname or alias.name for alias in node.names]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _topic(lines: list[str], line: int) -> str:
    """The last comment above that stands right before an import, as titles of topics do."""
    for at in range(line - 2, -1, -1):
        if lines[at].startswith("# ") and lines[at + 1].startswith(("from ", "import ", "if TYPE_CHECKING")):
            return lines[at].removeprefix("# ")
    return ""
