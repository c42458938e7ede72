"""Names of a package that are loaded when somebody asks for them: not every process needs the built-in catalog."""

import importlib
import sys
from collections.abc import Callable, Collection
from typing import Any


def on_demand(package: str, source: str, names: Collection[str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` (PEP 562) that takes some names from another module, each once.

    Args:
        package: the module that offers the names.
        source: the module that has them.
        names: which.
    """

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(source), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
