"""The worker's side: ``celery -A bridge.worker worker``, or ``install`` for an app that a team already runs.

What is behind it here is free of Celery: what a worker does with a message, its retries and its reports.
Whatever asks the store there raises StoreError where it is away or refuses.
"""

from typing import TYPE_CHECKING, Any

from bridge.model.errors import WORKER_VERSIONS, MissingExtraError, require_versions
from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.celery_runtime.app import create_app
    from bridge.celery_runtime.configured_app import app
    from bridge.celery_runtime.install import install

__all__ = ["app", "create_app", "install"]

_, _load = on_demand(
    __name__,
    {
        "bridge.celery_runtime.app": "create_app",
        "bridge.celery_runtime.configured_app": "app",
        "bridge.celery_runtime.install": "install",
    },
)


def __getattr__(name: str) -> Any:
    """What ``_load`` gives, where the packages are those that a worker leans on.

    Raises:
        MissingExtraError: they are not.
        SystemExit: they are not, and ``celery -A`` asked: what it says is all that an operator should see.
    """
    if name in ("app", "create_app"):  # install is for every process that has the app
        try:
            require_versions("worker", "A worker", WORKER_VERSIONS)
        except MissingExtraError as error:
            if name == "app":
                raise SystemExit(str(error)) from None
            raise
    return _load(name)
