"""``app``: the Celery app that the environment's settings describe; made by importing this module, and not before."""

from bridge.catalogs import app_from_environment
from bridge.celery_runtime.app import create_app
from bridge.settings import WorkerSettings

app = app_from_environment(WorkerSettings, create_app)
"""The Celery app that the environment's settings describe: ``celery -A bridge.worker worker``.

Made when it is first asked for. Where the settings are wrong, SystemExit says so in a sentence.
"""
