"""Names of a package that are loaded on first use: a producer's process needs few of them."""

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any


def on_demand(package: str) -> tuple[list[str], Callable[[str], Any]]:
    """What a package offers, each name written once: in the imports under its ``if TYPE_CHECKING:``.

    Returns:
        The names, sorted, for ``__all__``; and the package's ``__getattr__`` (PEP 562), which loads each once.
    """
    source_of = dict(_offered(ast.parse(inspect.getsource(sys.modules[package]))))

    def load(name: str) -> Any:
        if name not in source_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(source_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return sorted(source_of), load


def _offered(module: ast.Module) -> Iterator[tuple[str, str]]:
    # Each name of ours that only the type checker imports, and where from.
    for block in module.body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.module and line.module.startswith("bridge."):
                    yield from ((alias.name, line.module) for alias in line.names)
