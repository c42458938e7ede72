"""Who reads which setting, found in the code: attributes of whatever is annotated with one of the settings' classes."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import bridge
import bridge.settings
from bridge.settings import DECLARATIONS, Settings

ROOT = Path(str(bridge.__file__)).parent
DECLARED_IN = (ROOT / "settings/parts.py", ROOT / "settings/processes.py")
CLASSES = {name: kind for name, kind in vars(bridge.settings).items() if name.endswith("Settings")}
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Read(NamedTuple):
    """One attribute that is read of some settings."""

    module: str
    line: int
    part: type
    name: str


@cache
def reads() -> tuple[Read, ...]:
    """Every attribute that is read of settings, of parameters as of attributes of objects."""
    return tuple(dict.fromkeys(read for module, tree in trees().items() for read in _reads_in(module, tree)))


@cache
def settings_behind(name: str) -> frozenset[str]:
    """The settings that an attribute is made of: itself, or those that a property reads."""
    if name in DECLARATIONS:
        return frozenset({name})
    asked: list[str] = []

    class Watched(Settings):
        def __getattribute__(self, one: str) -> Any:
            asked.append(one)
            return super().__getattribute__(one)

    watched = Watched()
    asked.clear()
    getattr(watched, name)
    return frozenset(asked) & DECLARATIONS.keys()


def reached_from(*modules: str) -> frozenset[str]:
    """The modules that are imported from there on, at once or later; of a package that offers a name, its source."""
    reached, waiting = set[str](), list(modules)
    while waiting:
        if (one := waiting.pop()) not in reached:
            reached.add(one)
            waiting += _imported(trees()[one])
    return frozenset(reached)


@cache
def trees() -> Mapping[str, ast.Module]:
    """The code of each module but those that declare settings, by its name."""
    paths = (path for path in ROOT.rglob("*.py") if path not in DECLARED_IN)
    return {_module(path): ast.parse(path.read_text()) for path in paths}


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bridge"):
            yield from (found for alias in node.names if (found := _source(str(node.module), alias.name)) in trees())


def _source(module: str, name: str) -> str:
    """The module that has a name: a package of ours hands on what it imports."""
    if f"{module}.{name}" in trees() or module not in trees():
        return f"{module}.{name}"
    for node in ast.walk(trees()[module]):
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return _source(node.module, name)
    return module


def _reads_in(module: str, tree: ast.Module) -> Iterator[Read]:
    for scope in ast.walk(tree):
        if isinstance(scope, ast.ClassDef):
            yield from _reads_of(module, scope, _held_by(scope))
        elif isinstance(scope, Function):
            yield from _reads_of(module, scope, _given_to(scope))


def _reads_of(module: str, scope: ast.AST, known: Mapping[str, type]) -> Iterator[Read]:
    if not known:
        return
    nodes = list(ast.walk(scope))
    aliases = {
        ast.unparse(node.targets[0]): known[ast.unparse(node.value)]
        for node in nodes
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in known
    }
    for node in nodes:
        if isinstance(node, ast.Attribute) and (part := {**aliases, **known}.get(ast.unparse(node.value))):
            yield Read(module, node.lineno, part, node.attr)


def _given_to(scope: Function) -> dict[str, type]:
    arguments = scope.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    given = {one.arg: part for one in every if (part := _part(one.annotation))}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            given |= _loaded(node)
    return given


def _loaded(node: ast.Assign) -> dict[str, type]:
    """``settings = load_settings(for_=X)`` and ``settings, registry = load_configured(X)``."""
    loads = [call for call in ast.walk(node.value) if isinstance(call, ast.Call) and "load_" in ast.unparse(call.func)]
    parts = [part for call in loads for one in ast.walk(call) if (part := _part(one))]
    target = node.targets[0]
    name = target.elts[0] if isinstance(target, ast.Tuple) else target
    return {ast.unparse(name): parts[0]} if parts else {}


def _held_by(scope: ast.ClassDef) -> dict[str, type]:
    """What a class keeps: an annotated attribute, or ``self._settings = settings``, or ``settings or …``."""
    held: dict[str, type] = {}
    for node in scope.body:
        if isinstance(node, ast.AnnAssign) and (part := _part(node.annotation)):
            held[f"self.{ast.unparse(node.target)}"] = part
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = _given_to(node)
            for one in ast.walk(node):
                if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Attribute | ast.Tuple):
                    held |= _kept(one.targets[0], one.value, given)
    return held


def _kept(target: ast.expr, value: ast.expr, given: Mapping[str, type]) -> dict[str, type]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=True)
        return {name: part for one, other in pairs for name, part in _kept(one, other, given).items()}
    first = value.values[0] if isinstance(value, ast.BoolOp) else value
    part = given.get(first.id) if isinstance(first, ast.Name) else None
    return {ast.unparse(target): part} if part else {}


def _part(annotation: ast.AST | None) -> type | None:
    names = [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)] if annotation else []
    return next((CLASSES[name] for name in names if name in CLASSES), None)
