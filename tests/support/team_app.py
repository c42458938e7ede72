"""A Celery app as a team may have it already, with the bridge added to it."""

import os

from celery import Celery

from bridge import Settings
from bridge.worker import register_tasks
from tests.support.moody_catalog import registry

URL = os.environ.get("TEAM_BROKER_URL", "redis://127.0.0.1:1/0")

app = Celery("team", broker=URL)
app.conf.update(task_routes={"team.slow": {"queue": "slow"}}, worker_concurrency=1)


@app.task(name="team.add")
def add(x: int, y: int) -> int:
    return x + y


register_tasks(app, registry, Settings(broker_url=URL))
