"""Type checkers see under ``sse_bridge`` what applications import from below ``bridge``."""

from tests.support.processes import ROOT

FRONT_DOORS = {"catalogs/finance", "gateway", "ops", "rights", "testing", "worker"}


def test_each_module_that_applications_import_has_a_stub_under_the_alias() -> None:
    contrib = {f"contrib/{entry.stem}" for entry in (ROOT / "bridge" / "contrib").iterdir() if entry.stem[0] != "_"}
    stubs = {file.relative_to(ROOT / "sse_bridge").with_suffix("") for file in (ROOT / "sse_bridge").rglob("*.pyi")}
    missing = {name for name in FRONT_DOORS | contrib if not {name, f"{name}/__init__"} & set(map(str, stubs))}
    assert not missing, f"write {[f'sse_bridge/{name}.pyi' for name in missing]}: `from bridge.… import *`"
