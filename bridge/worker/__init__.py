"""Door for Celery: ``celery -A bridge.worker worker``, or ``register_tasks`` for an app that a team already runs."""

from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError
from bridge.registry import load_configured
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
        made = create_app(*load_configured("worker"))
    except BridgeError as error:
        raise SystemExit(str(error)) from None
    globals()["app"] = made
    return made
