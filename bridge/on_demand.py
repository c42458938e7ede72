"""Names of a package that are loaded on first use: a producer's process needs few of them."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

ROOT = __name__.partition(".")[0]
"""The name under which this package is loaded: ``bridge``, or ``sse_bridge`` where that is somebody else's."""


def on_demand(package: str, sources: Mapping[str, str]) -> tuple[list[str], Callable[[str], Any]]:
    """What a package offers without having loaded it. The type checker reads the same under ``if TYPE_CHECKING:``.

    Args:
        package: the module that offers the names.
        sources: modules of ``bridge`` that have them, and which, separated by spaces.

    Returns:
        The names, sorted, for ``__all__``; and the package's ``__getattr__`` (PEP 562), which loads each once.
    """
    source_of = {name: source for source, names in sources.items() for name in names.split()}

    def load(name: str) -> Any:
        """The value of a name; raises AttributeError if the package does not offer it."""
        if name not in source_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(ROOT + source_of[name].removeprefix("bridge")), name)
        setattr(sys.modules[package], name, value)
        return value

    return sorted(source_of), load
