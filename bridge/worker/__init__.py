"""The worker's side: ``celery -A bridge.worker worker``, or ``register_tasks`` for an app that a team already runs.

What is behind it here is free of Celery: what a worker does with a message, its retries and its reports.
Whatever asks the store there raises StoreError where it is away or refuses.
"""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.celery_runtime.app import create_app, register_tasks
    from bridge.celery_runtime.configured_app import app

__all__ = ["app", "create_app", "register_tasks"]

_, __getattr__ = on_demand(
    __name__,
    {
        "bridge.celery_runtime.app": "create_app register_tasks",
        "bridge.celery_runtime.configured_app": "app",
    },
)
