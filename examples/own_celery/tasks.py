"""A task that tells its user when it is done."""

from bridge import emit
from examples.own_celery.celery import app
from examples.own_celery.events import ReportReady


@app.task  # type: ignore[untyped-decorator]
def make_report(user_id: int, title: str) -> str:
    emit(ReportReady(user_id=user_id, title=title))
    return title
