"""``sse-bridge worker``: ``celery -A bridge.worker worker`` with the settings that this process found."""

import click

from bridge.catalogs import load_registry
from bridge.local import become_worker
from bridge.model.errors import WORKER_VERSIONS, require_versions
from bridge.settings import load_settings


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF CELERY WORKER]...")
def worker(options: tuple[str, ...]) -> None:
    r"""Run a Celery worker of the bridge, with the settings that this process found.

    Takes every option of `celery worker` (see `celery worker --help`), and ends as that does: at Ctrl-C or SIGTERM when
    what it has begun is done. Where a project's settings.py holds the settings, this is the way to start one.

    \b
    Examples:
      sse-bridge worker
      sse-bridge worker --loglevel INFO --concurrency 4

    Exit codes: as `celery worker` (0 stopped by SIGTERM, 1 by Ctrl-C); 1 packages are missing, 2 wrong use or settings.
    """
    require_versions("worker", "A worker", WORKER_VERSIONS)
    settings = load_settings(for_=("worker",))
    load_registry(settings.registry)
    become_worker(settings, options)
