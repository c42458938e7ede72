"""The private names of Celery and its like: each that is listed is there, and each that is used is listed."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import bridge.amqp_adapter
import bridge.celery_runtime
from bridge.celery_runtime.internals import INTERNALS
from tests.support.missing_names import missing

LIBRARIES = {"celery", "kombu", "billiard", "amqp"}
LISTED = {one.name for internals in INTERNALS.values() for one in internals}
PUBLIC_BASES = {"celery.bootsteps", "celery.app.task", "celery.app.base"}
"""Modules whose classes are made to be extended, and documented for it."""
OF_PYTHON = {"_exit"}
MODULES = [
    importlib.import_module(info.name)
    for package in (bridge.celery_runtime, bridge.amqp_adapter)
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    if not info.name.endswith("configured_app")
]


@pytest.fixture(scope="module")
def all_gone() -> list[str]:
    return list(missing())


@pytest.mark.parametrize("where", INTERNALS)
def test_every_name_that_is_listed_is_there(where: str, all_gone: list[str]) -> None:
    gone = [name for name in all_gone if name.startswith(where)]
    assert not gone, f"this release has no {gone} any more; bridge/celery_runtime/internals.py says what to do"


def test_a_name_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "celery" / "worker").mkdir(parents=True)
    (tmp_path / "celery" / "worker" / "state.py").write_text("should_stop = None\n\ndef task_ready(request): ...\n")
    gone = set(missing(tmp_path))
    assert "celery.worker.state:should_terminate" in gone
    assert "kombu.transport.redis:Channel._brpop_start" in gone
    assert not gone & {"celery.worker.state:should_stop", "celery.worker.state:task_ready"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_private_name_that_is_used_is_listed(module) -> None:
    used = {name for name in private_names(module) if not hasattr(ast, name)}
    assert used - LISTED - OF_PYTHON == set(), "list it in bridge/celery_runtime/internals.py"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_method_that_takes_the_place_of_theirs_is_listed(module) -> None:
    taken = {
        name
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__
        for base in kind.__mro__[1:]
        if base.__module__.partition(".")[0] in LIBRARIES and base.__module__ not in PUBLIC_BASES
        for name, value in vars(kind).items()
        if name.startswith("_") and not name.startswith("__") and callable(value) and name in vars(base)
    }
    assert taken - LISTED == set(), "a method of theirs is overridden: list it, or call ours otherwise"


def private_names(module) -> Iterator[str]:
    """Attributes with an underscore that are read and that this module does not define itself."""
    tree = ast.parse(inspect.getsource(module))
    ours = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for kind in (kind for kind in vars(module).values() if inspect.isclass(kind)):
        for base in kind.__mro__:
            if base.__module__.startswith("bridge."):
                ours |= set(vars(base)) | attributes_of(inspect.getsource(inspect.getmodule(base) or module))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield from {node.attr} - (ours - LISTED)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in LIBRARIES:
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))


def attributes_of(source: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
