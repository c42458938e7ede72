"""Finding a registry by the name in BRIDGE_REGISTRY."""

import importlib

from bridge.errors import RegistryError
from bridge.registry.registry import Registry
from bridge.settings import Process, Settings, load_settings

BUILT_IN = "bridge.registry.builtin:REGISTRY"
"""The catalog that is used when nothing else is asked for."""


def load_configured(for_: Process) -> tuple[Settings, Registry]:
    """The environment's settings as one process reads them, and the registry that they name.

    Raises:
        SettingsError: a setting is wrong.
        RegistryError: the registry cannot be loaded.
    """
    settings = load_settings(for_=for_)
    return settings, load_registry(settings.registry)


def load_registry(path: str = "") -> Registry:
    """Import the registry that ``path`` (``package.module:attribute``) names; the built-in one if it is empty.

    Raises:
        RegistryError: the path is malformed, cannot be imported, names no Registry, or the registry
            it names has faults. The message says which, and what to do.
    """
    path = path or BUILT_IN
    module_name, separator, attribute = path.partition(":")
    if not (module_name and separator and attribute):
        raise RegistryError(f"BRIDGE_REGISTRY is {path!r}; write it as 'package.module:attribute'.")
    try:
        module = importlib.import_module(module_name)
    except RegistryError:
        raise
    except ModuleNotFoundError as error:
        raise RegistryError(
            f"BRIDGE_REGISTRY names {path!r}, but there is no module {error.name!r}. "
            "Check the spelling, and that its folder is on PYTHONPATH."
        ) from error
    except Exception as error:  # foreign code runs on import and may raise anything
        raise RegistryError(
            f"BRIDGE_REGISTRY names {path!r}, but importing {module_name!r} failed: {type(error).__name__}: {error}"
        ) from error
    registry = getattr(module, attribute, None)
    if not isinstance(registry, Registry):
        found = "is missing" if registry is None else f"is a {type(registry).__name__}"
        raise RegistryError(f"BRIDGE_REGISTRY names {path!r}, but {attribute!r} {found}; it must be a bridge.Registry.")
    return registry
