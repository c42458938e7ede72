"""Names of a package that are loaded on first use: a producer's process needs few of them."""

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def on_demand(package: str, sources: Mapping[str, Collection[str]]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` (PEP 562) that takes names from other modules, each once.

    Args:
        package: the module that offers the names.
        sources: modules that have them, and which.
    """
    source_of = {name: source for source, names in sources.items() for name in names}

    def load(name: str) -> Any:
        if name not in source_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(source_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
