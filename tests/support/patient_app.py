"""A bridge worker without time limits, so that an extractor can outlast the visibility timeout."""

from bridge.catalogs import load_configured
from bridge.settings import WorkerSettings
from bridge.worker import create_app

app = create_app(*load_configured(WorkerSettings))
for name, task in app.tasks.items():
    if name.startswith("bridge."):
        task.time_limit = task.soft_time_limit = None
app.conf.task_time_limit = app.conf.task_soft_time_limit = None
