"""``sse_bridge``: type checkers see what is below it, and no name in our files leads back to ``bridge``."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import ROOT

FRONT_DOORS = {"catalogs/finance", "gateway", "ops", "rights", "testing", "worker"}
OF_A_MODULE = re.compile(r"bridge((?:\.\w+)+)(?::\w+)?")
FOR_BOTH = {"bridge.cli"}
"""Where ``python -m`` is asked which of the two it runs."""


def test_each_module_that_applications_import_has_a_stub_under_the_alias() -> None:
    contrib = {f"contrib/{entry.stem}" for entry in (ROOT / "bridge" / "contrib").iterdir() if entry.stem[0] != "_"}
    stubs = {file.relative_to(ROOT / "sse_bridge").with_suffix("") for file in (ROOT / "sse_bridge").rglob("*.pyi")}
    missing = {name for name in FRONT_DOORS | contrib if not {name, f"{name}/__init__"} & set(map(str, stubs))}
    assert not missing, f"write {[f'sse_bridge/{name}.pyi' for name in missing]}: `from bridge.… import *`"


def test_text_that_names_a_module_begins_with_the_name_under_which_it_is_loaded() -> None:
    found = [(file, text) for file in (ROOT / "bridge").rglob("*.py") for text in modules_named_in(file)]
    assert found == [], "begin it with {__package__} or bridge.on_demand.ROOT: it may be sse_bridge"


def modules_named_in(file: Path) -> Iterator[str]:
    """Text of a file that is the name of a module, or of something in one; tables of ``on_demand`` are its own."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    tables = {part for node in nodes if is_table(node) for part in ast.walk(node)}
    for node in nodes:
        if node in tables or not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        named = OF_A_MODULE.fullmatch(node.value)
        if named and node.value not in FOR_BOTH:
            place = ROOT / "bridge" / named[1][1:].replace(".", "/")
            if place.is_dir() or place.with_suffix(".py").exists():
                yield node.value


def is_table(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "on_demand"
