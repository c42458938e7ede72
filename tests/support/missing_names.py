"""Which private names of Celery and its like are gone from a release; as a program, from the packages in a folder."""

import ast
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from bridge.celery_runtime.internals import INTERNALS


def missing(folder: Path | None = None) -> Iterator[str]:
    """Names that are gone, as ``module:Class.name``, found by reading sources: nothing is imported or run.

    ``folder`` is where the packages are; by default this environment's.
    """
    for where, internals in INTERNALS.items():
        defined = _defined_in(where, folder)
        yield from (
            f"{where}{'.' if where[-1] != ':' else ''}{one.name}" for one in internals if one.name not in defined
        )


def _defined_in(where: str, folder: Path | None) -> set[str]:
    """The names that a class or a module defines, its instances' attributes among them."""
    module, _, class_name = where.partition(":")
    source = _source_of(module, folder)
    if source is None:
        return set()
    scope: ast.AST | None = ast.parse(source.read_text(encoding="utf-8"))
    if class_name:
        classes = (node for node in ast.walk(scope) if isinstance(node, ast.ClassDef))  # type: ignore[arg-type]
        scope = next((node for node in classes if node.name == class_name), None)
    return {name for node in ast.walk(scope) for name in _names_of(node)} if scope is not None else set()


def _names_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name for alias in names)


def _source_of(module: str, folder: Path | None) -> Path | None:
    if folder is None:
        spec = find_spec(module)
        return Path(spec.origin) if spec is not None and spec.origin else None
    place = folder.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


if __name__ == "__main__":
    for gone in missing(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        sys.stdout.write(f"{gone}\n")
