"""What ``sse_bridge`` stands for: the modules of ``bridge``, or the same files under a name of their own."""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

NAME, ALIAS = "bridge", "sse_bridge"
COMMAND = "sse-bridge"
_FOLDER = Path(__file__).parent.with_name(NAME)
_ONLY_OURS = Path("celery_runtime", "internals.py")
"""A file that no other package named ``bridge`` has."""


def take_name() -> None:
    """Decide what ``sse_bridge`` stands for; called as it is imported.

    Raises:
        ImportError: another distribution has put a package ``bridge`` over ours.
    """
    if not is_foreign(place_of_bridge()):
        sys.meta_path.insert(0, _SameModules())
        package = import_module(NAME)
        if not hasattr(package, "emit_many"):
            raise ImportError(
                f"{package.__file__} is not what sse-bridge installed there: another distribution has put its own "
                "package 'bridge' over it. Give that one an environment of its own, and run: "
                "pip install --force-reinstall sse-bridge"
            )
        sys.modules[ALIAS] = package
        return
    sys.meta_path.insert(0, _UnderOwnName())
    package = sys.modules[ALIAS]
    source = SourceFileLoader(ALIAS, str(_FOLDER / "__init__.py"))
    package.__path__ = [str(_FOLDER)]
    assert package.__spec__ is not None  # noqa: S101  (it is being imported)
    package.__spec__.submodule_search_locations = package.__path__
    exec(_renamed(source.get_code(ALIAS)), vars(package))  # noqa: S102


def place_of_bridge() -> str:
    """The file that ``import bridge`` loads in this process, or has loaded; empty if there is none."""
    loaded = sys.modules.get(NAME)
    if loaded is not None:
        return getattr(loaded, "__file__", None) or ""
    # The command makes the current folder importable later, for catalogs: what is there comes first as well.
    is_command = Path(sys.argv[0] if sys.argv else "").name == COMMAND
    spec = (is_command and bridge_in("")) or find_spec(NAME)
    return (spec.origin if spec else None) or ""


def bridge_in(folder: str) -> ModuleSpec | None:
    """A package or module ``bridge`` in a folder of the search path."""
    spec = PathFinder.find_spec(NAME, [folder])
    return spec if spec is not None and spec.origin else None


def namesakes() -> list[str]:
    """Of each other package named ``bridge`` that this process may meet: which file it is, and what to write there."""
    specs = [bridge_in(folder) for folder in dict.fromkeys(["", *sys.path])]
    places = dict.fromkeys(str(Path(spec.origin).resolve()) for spec in specs if spec is not None and spec.origin)
    return [
        f"{place} is another package named {NAME}: programs that find it first import this one as {ALIAS} "
        f"(from {ALIAS} import emit; celery -A {ALIAS}.worker worker; uvicorn {ALIAS}.gateway:app)."
        for place in places
        if is_foreign(place)
    ]


def is_foreign(place: str) -> bool:
    """Whether the file of a package ``bridge`` is not one of ours."""
    return not (Path(place).parent / _ONLY_OURS).exists()


class _SameModules(MetaPathFinder, Loader):
    """Finds ``sse_bridge.x`` where ``bridge.x`` is, and has the import system keep that very module."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        real = find_spec(_real(fullname)) if fullname.startswith(f"{ALIAS}.") else None
        if real is None:
            return None
        spec = ModuleSpec(fullname, self, origin=real.origin)
        spec.submodule_search_locations = real.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(_real(spec.name))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It is loaded; its own description is put back in place of the alias'."""
        assert module.__spec__ is not None  # noqa: S101  (the import system has just set it)
        module.__spec__ = module.__spec__.loader_state

    def get_code(self, fullname: str) -> CodeType:
        """For ``python -m``."""
        real: Any = find_spec(_real(fullname))
        code: CodeType = real.loader.get_code(real.name)
        return code


class _UnderOwnName(MetaPathFinder):
    """Finds ``sse_bridge.x`` in the files of ``bridge``, whose imports of ``bridge.y`` then mean ``sse_bridge.y``."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname.startswith(f"{ALIAS}.") else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Renaming(spec.loader)
        return spec


class _Renaming(Loader):
    """Another loader, with the code that it loads renamed."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> None:  # noqa: ARG002
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), vars(module))  # noqa: S102

    def get_code(self, fullname: str) -> CodeType:
        return _renamed(self._loader.get_code(fullname))


def _real(name: str) -> str:
    return NAME + name.removeprefix(ALIAS)


def _renamed(code: Any) -> CodeType:
    """The code with each module of ours that it imports under the name of the alias."""
    names = (
        ALIAS + name.removeprefix(NAME) if name == NAME or name.startswith(f"{NAME}.") else name
        for name in code.co_names
    )
    constants = (_renamed(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    renamed: CodeType = code.replace(co_names=tuple(names), co_consts=tuple(constants))
    return renamed
