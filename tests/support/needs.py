"""Programs and packages that some tests need: without one, CI fails and a laptop skips."""

import os
import shutil
from importlib.util import find_spec

import pytest


def needs_program(name: str) -> str:
    """Its full path."""
    # Debian keeps servers where only root looks.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        _absent(f"{name} is not installed")
    return str(found)


def needs_package(name: str) -> None:
    """Nothing, if it can be imported."""
    try:
        found = find_spec(name)
    except ModuleNotFoundError:  # not even what it would lie in
        found = None
    if found is None:
        _absent(f"the package {name} is not installed")


def _absent(why: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}, and this is CI")
    pytest.skip(why)
