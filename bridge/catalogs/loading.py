"""Finding what a setting names, above all the registry: the same way in every process, however it was started."""

import importlib
import os
import sys
import sysconfig
from collections.abc import Callable
from importlib.util import find_spec
from traceback import extract_tb
from types import ModuleType
from typing import Any, Final, TypeVar

from bridge.model.errors import BridgeError, RegistryError, SettingsError
from bridge.model.plain_text import one_line
from bridge.model.registry.registry import Registry
from bridge.on_demand import ROOT
from bridge.settings import CatalogSettings, load_settings
from bridge.settings.urls import shown_url

SETTING: Final = "BRIDGE_REGISTRY"
BUILT_IN = f"{ROOT}.catalogs.finance.catalog:REGISTRY"
"""The catalog that is used when nothing else is asked for."""
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
App = TypeVar("App")
S = TypeVar("S", bound=CatalogSettings)
CAUSES_MAX = 10
"""Exceptions that are looked at, from the last to the first cause."""


def load_configured(part: type[S]) -> tuple[S, Registry]:
    """What a process reads of the environment's settings, and the registry that they name.

    With DJANGO_SETTINGS_MODULE set, Django is set up first: its settings.py may say what the environment does not.

    Raises:
        SettingsError: a setting is wrong, or Django cannot be set up.
        RegistryError: the registry cannot be loaded.
    """
    set_up_django()
    settings = load_settings(for_=part)
    return settings, load_registry(settings.registry)


def app_from_environment(part: type[S], create: Callable[[S, Registry], App]) -> App:
    """What ``create`` makes of ``load_configured``.

    Raises:
        SystemExit: what the environment says is wrong; says how in sentences, without a traceback.
    """
    try:
        return create(*load_configured(part))
    except BridgeError as error:
        raise SystemExit(str(error)) from None


def load_registry(path: str = "") -> Registry:
    """Import the registry that ``path`` (``package.module:attribute``) names; the built-in one if it is empty.

    Several, with commas between, are combined to one. The current folder is importable from then on, if it was not.
    With DJANGO_SETTINGS_MODULE set, Django is set up first, unless it is or is just being: a catalog may import models.

    Raises:
        RegistryError: the path is malformed, cannot be imported, names no Registry, or the registry
            it names has faults; or several contradict each other. The message says which, and what to do.
    """
    registries = [_load_one(one.strip()) for one in (path or BUILT_IN).split(",")]
    return registries[0] if len(registries) == 1 else Registry.combined(*registries)


def _load_one(path: str) -> Registry:
    registry = load_attribute(path, SETTING, RegistryError)
    if not isinstance(registry, Registry):
        found = "is missing" if registry is None else f"is a {type(registry).__name__}"
        attribute = path.partition(":")[2]
        raise RegistryError(f"{SETTING} names {path!r}, but {attribute!r} {found}; it must be a bridge.Registry.")
    return registry


def load_attribute(path: str, setting: str, failure: type[BridgeError]) -> Any:
    """Import what ``path`` (``package.module:attribute``) names; None if the module has no such attribute.

    The current folder and Django are made ready as for ``load_registry``.

    Args:
        path: never empty.
        setting: that holds it, for the sentence.
        failure: what is raised.

    Raises:
        RegistryError: the module makes a registry, and that has faults.
        BridgeError: of the class ``failure``; the path is malformed, or cannot be imported.
    """
    module_name, separator, attribute = path.partition(":")
    if not (module_name and separator and attribute):
        raise failure(f"{setting} is {path!r}; write it as 'package.module:attribute'.")
    if path != BUILT_IN:
        _make_current_folder_importable()
        set_up_django(f" for {setting}, {path!r}", failure)
    return getattr(_imported(module_name, path, setting, failure), attribute, None)


def _make_current_folder_importable() -> None:
    """As ``python -m`` does. Celery takes the folder off the path again before the catalog is imported."""
    try:
        here = os.path.realpath(os.getcwd())  # noqa: PTH109  (what sys.path holds is text)
    except OSError:  # it was deleted
        return
    if "" not in sys.path and here not in map(os.path.realpath, sys.path):
        sys.path.insert(0, here)


def set_up_django(why: str = "", failure: type[BridgeError] = SettingsError) -> None:
    """Make a Django project ready where DJANGO_SETTINGS_MODULE names one; not in Django's own process, which does that.

    Each process of the bridge begins with it: the project's settings.py may hold settings of the bridge.

    Raises:
        BridgeError: of the class ``failure``; settings.py or an application of the project raised something.
    """
    named = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not named or not find_spec("django"):
        return
    _make_current_folder_importable()
    import django
    from django.apps import apps

    if apps.models_ready or getattr(apps, "loading", False):
        return  # this is Django's own process
    try:
        django.setup()
    except (Exception, SystemExit) as error:  # settings and applications are foreign code
        raise failure(
            f"Django could not be set up{why}: DJANGO_SETTINGS_MODULE is {named!r}, and {_why(error)}."
        ) from error


def _imported(module_name: str, path: str, setting: str, failure: type[BridgeError]) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except RegistryError:
        raise
    except ModuleNotFoundError as error:
        wanted = error.name or ""
        if module_name == wanted or module_name.startswith(f"{wanted}."):
            raise failure(
                f"{setting} names {path!r}, but there is no module {wanted!r}. Check the spelling, and that its "
                f"folder is the current one or on PYTHONPATH.{_about_namesake(error)}"
            ) from error
        raise failure(
            f"{setting} names {path!r}, but there is no module {wanted!r}, which is imported "
            f"{raised_at(error) or 'there'}. Install it, or check the spelling.{_about_namesake(error)}"
        ) from error
    except (Exception, SystemExit) as error:  # foreign code runs on import and may raise anything
        said = f"{setting} names {path!r}, but importing {module_name!r} failed: {_why(error)}."
        raise failure(said + _about_namesake(error)) from error


def _about_namesake(error: BaseException) -> str:
    """What to write where a name of ours was not found because another package is called ``bridge`` too."""
    from sse_bridge.naming import ALIAS, NAME, namesakes

    if not isinstance(error, ImportError) or (error.name or "").partition(".")[0] not in (NAME, ALIAS):
        return ""
    return "".join(f" {said}" for said in namesakes())


def _why(error: BaseException) -> str:
    """The exception and, where another one caused it, the first cause; each with where it was raised."""
    first = error
    for _ in range(CAUSES_MAX):
        first = first.__cause__ or first
    said = f"{_told(error)}, because of {_told(first)}" if first is not error else _told(error)
    place = raised_at(first)
    return f"{said} ({place})" if place else said


def _told(error: BaseException) -> str:
    words = one_line(error).rstrip(".").split(" ")
    return f"{type(error).__name__}: {' '.join(shown_url(word) if '://' in word else word for word in words)}"


def raised_at(error: BaseException) -> str:
    """``in <file>:<line>``: where the team's own code was, or else a library's. Empty if it was nowhere."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"in {error.filename}:{error.lineno}"
    frames = [
        frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith(("<frozen", __file__))
    ]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    last = (own or frames)[-1:]
    return f"in {last[0].filename}:{last[0].lineno}" if last else ""
