"""``install``: adds the bridge to a team's own Celery app; light, as every process that has the app imports it."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from celery import Celery, signals

from bridge.model.errors import WORKER_VERSIONS, MissingExtraError, require_versions
from bridge.model.registry import Registry
from bridge.settings import WorkerSettings

_STEPS = f"{__package__}.installed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """What ``install`` was told; an app with one has the bridge."""

    queues: tuple[str, ...] | None  # that a worker without -Q consumes; None: all
    registry: Registry | None  # None: that of the environment, at the worker's start
    settings: WorkerSettings | None  # None: the environment's, at the worker's start


def install(
    app: Celery,
    *,
    queues: Sequence[str] | None = None,
    registry: Registry | None = None,
    settings: WorkerSettings | None = None,
) -> None:
    """Have the workers of a team's app consume the bridge's queues too, beside the app's own, into the same pool.

    The bridge's messages are claimed, quarantined, bounded and retried as by ``celery -A bridge.worker worker``, over a
    connection of their own with settings of their own. Nothing of the app's configuration is changed, and none of
    it matters to them. It may be called before the app is configured, and again: the last call counts. Nothing is
    read or imported before a worker starts: the catalog may import Django's models.

    Args:
        app: the team's.
        queues: names of the bridge's queues that a worker consumes which is started without ``-Q``; by default all.
            A worker with ``-Q`` consumes those that it names, the bridge's and the app's.
        registry: by default the one that ``BRIDGE_REGISTRY`` names.
        settings: by default the environment's ``BRIDGE_*``.
    """
    app.bridge_installation = Installation(
        queues=None if queues is None else tuple(queues), registry=registry, settings=settings
    )
    # By their names: what they need is loaded by a worker alone.
    app.steps["worker"].add(f"{_STEPS}:WorkerStep")
    app.steps["consumer"].add(f"{_STEPS}:ConsumerStep")
    signals.celeryd_init.connect(_read_queues, weak=False, dispatch_uid="bridge.install")


def _read_queues(instance: Any, **_: Any) -> None:
    """Have a worker read ``-Q`` and ``-X``, which may name queues of the bridge, with it in mind."""
    if getattr(instance.app, "bridge_installation", None) is not None:
        stock = instance.setup_queues
        instance.setup_queues = lambda *options: _steps().setup_queues(instance.app, stock, *options)


def _steps() -> Any:
    """What only a worker loads; its first use, before any boot step is made.

    Raises:
        SystemExit: it cannot work beside these packages; says which it needs.
    """
    try:
        require_versions("worker", "A worker with the bridge", WORKER_VERSIONS)
    except MissingExtraError as error:
        raise SystemExit(str(error)) from None
    return import_module(_STEPS)
