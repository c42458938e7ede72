"""BRIDGE_REGISTRY: each wrong path gives one sentence that says what to do."""

import sys
from pathlib import Path

import pytest

from bridge.catalogs import BUILT_IN, load_registry
from bridge.catalogs.finance import REGISTRY
from bridge.model.errors import BridgeError, RegistryError


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module file ``adopter_catalog`` that can be imported, and is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "adopter_catalog", raising=False)
    return tmp_path / "adopter_catalog.py"


def test_the_built_in_catalog_is_the_default() -> None:
    assert load_registry() is load_registry("") is load_registry(BUILT_IN) is REGISTRY


@pytest.mark.parametrize("path", ["shop", "shop.catalog", ":", "shop:", ":registry"])
def test_a_malformed_path_is_refused(path: str) -> None:
    with pytest.raises(RegistryError, match=r"write it as 'package\.module:attribute'"):
        load_registry(path)


@pytest.mark.parametrize("path", ["no_such_module:registry", "bridge.no_such_module:registry", "bridge.errors.x:r"])
def test_a_missing_module_is_named(path: str) -> None:
    with pytest.raises(RegistryError, match=r"there is no module '.+'\. Check the spelling"):
        load_registry(path)


@pytest.mark.parametrize("path", [".relative:registry", "bridge..registry:x", "bridge registry:x", "\x00:x", "a/b:x"])
def test_a_path_that_is_no_module_name_is_refused_like_any_other(path: str) -> None:
    with pytest.raises(RegistryError, match="BRIDGE_REGISTRY"):
        load_registry(path)


def test_an_attribute_that_is_missing_or_no_registry_is_named() -> None:
    with pytest.raises(RegistryError, match=r"'NOTHING' is missing; it must be a bridge\.Registry"):
        load_registry("bridge.catalogs.finance.catalog:NOTHING")
    with pytest.raises(RegistryError, match="'BUILT_IN' is a str"):
        load_registry("bridge.catalogs:BUILT_IN")


def test_a_module_that_fails_on_import_says_how(catalog: Path) -> None:
    catalog.write_text("raise LookupError('no database')")
    with pytest.raises(RegistryError, match="importing 'adopter_catalog' failed: LookupError: no database"):
        load_registry("adopter_catalog:registry")


def test_a_module_that_misses_one_of_its_own_imports_names_that_one(catalog: Path) -> None:
    catalog.write_text("import no_such_dependency")
    with pytest.raises(RegistryError, match="no module 'no_such_dependency'"):
        load_registry("adopter_catalog:registry")


def test_a_registry_with_faults_shows_its_faults(catalog: Path) -> None:
    catalog.write_text(
        "from bridge.model.events import SSEEventCategory, SSEEventType\n"
        "from bridge.model.registry import Registry\n"
        "registry = Registry(event_types=SSEEventType, categories=SSEEventCategory, events=[])\n"
    )
    with pytest.raises(RegistryError, match="type without metadata: SYNC_ACCOUNTS_STARTED") as caught:
        load_registry("adopter_catalog:registry")
    assert isinstance(caught.value, BridgeError)
    assert len(caught.value.faults) == len(REGISTRY.events)
