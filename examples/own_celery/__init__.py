"""docs/own-celery.md as a package: a Celery app with the bridge in its workers."""

from examples.own_celery.celery import app

__all__ = ["app"]
