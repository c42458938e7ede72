"""Importing what an optional extra brings, and naming the extra where it is missing."""

from importlib import import_module
from types import ModuleType

from bridge.model.errors import MissingExtraError


def import_extra(module: str, *, extra: str, needed_for: str) -> ModuleType:
    """Import a module that needs an optional part.

    Raises:
        MissingExtraError: that part is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "bridge":
            raise
        raise MissingExtraError(extra, needed_for) from error
