"""Door for Celery: ``celery -A bridge.worker worker``, or ``register_tasks`` for an app that a team already runs."""

from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError
from bridge.registry import BUILT_IN, load_registry
from bridge.settings import load_settings
from bridge.worker.celery_app import create_app, register_tasks

if TYPE_CHECKING:
    from celery import Celery

    app: Celery

__all__ = ["app", "create_app", "register_tasks"]


def __getattr__(name: str) -> Any:
    """Make ``app`` when somebody asks for it, so that an import reads no environment.

    Raises:
        SystemExit: the settings or the registry are wrong; says how, without a traceback.
    """
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        settings = load_settings()
        made = create_app(settings, load_registry(settings.registry or BUILT_IN))
    except BridgeError as error:
        raise SystemExit(str(error)) from None
    globals()["app"] = made
    return made
