"""A Celery app as a team may have it already, with the bridge in it unless ``TEAM_ALONE`` is set."""

import os
import time
from pathlib import Path

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from bridge.worker import install
from tests.support.waiting import wait_until

URL = os.environ.get("TEAM_BROKER_URL", "redis://127.0.0.1:1/0")
NOTES = Path(os.environ.get("TEAM_NOTES", "team-notes"))

app = Celery("team")
if not os.environ.get("TEAM_ALONE"):
    install(app)  # before the app is configured
app.conf.update(
    broker_url=URL,
    result_backend=os.environ.get("TEAM_RESULTS") or None,
    broker_transport_options={
        "visibility_timeout": int(os.environ.get("TEAM_VISIBILITY_S", "3600")),
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
    task_routes={"team.slow": {"queue": "slow"}},
    worker_concurrency=int(os.environ.get("TEAM_CONCURRENCY", "1")),
    worker_prefetch_multiplier=1,
    task_acks_late=bool(os.environ.get("TEAM_ACKS_LATE")),
    accept_content=os.environ.get("TEAM_ACCEPTS", "json").split(","),
    task_serializer=os.environ.get("TEAM_ACCEPTS", "json").split(",")[0],
    result_accept_content=["json", "pickle"],
    beat_schedule={"tick": {"task": "team.note", "schedule": 1.0, "args": ("tick",)}},
)


def note(what: str) -> None:
    """Leave a line that a test can read; each is one write, which is whole."""
    with NOTES.open("a") as file:
        file.write(f"{what}\n")


@app.task(name="team.add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="team.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(name="team.note")
def note_task(what: str) -> None:
    note(what)


@app.task(name="team.timed", rate_limit="5/s")
def timed(number: int) -> float:
    return time.time()


@app.task(name="team.retry", bind=True, autoretry_for=(ValueError,), default_retry_delay=0, retry_backoff=False)
def flaky(self) -> int:
    if self.request.retries < 2:
        raise ValueError("not yet")
    return int(self.request.retries)


@app.task(name="team.limited", soft_time_limit=1)
def limited() -> str:
    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        return "limited"
    return "never"


@app.task(name="team.pause")
def pause(seconds: float, what: str) -> str:
    note(f"begin {what}")
    time.sleep(seconds)
    note(f"end {what}")
    return what


@app.task(name="team.once_slow")
def once_slow() -> None:
    first = not NOTES.exists()
    note("begin")
    if first:
        time.sleep(60)
    note("end")


@app.task(name="team.hold")
def hold() -> None:
    note("begin")
    wait_until(lambda: "go" in NOTES.read_text().splitlines(), what="it may go on")
