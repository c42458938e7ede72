"""The team's Celery app, with the bridge in its workers."""

from celery import Celery

from bridge.worker import install

app = Celery("proj", broker="redis://127.0.0.1:6379/0", include=["examples.own_celery.tasks"])
install(app)
