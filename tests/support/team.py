"""A team's own Celery app with the bridge in it: its environment, and its tasks as a load beside the events."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery

from tests.support.waiting import PROCESS_TIMEOUT_S

APP = "tests.support.team_app"
FORMS = {"own": "bridge.worker", "installed": APP}
"""The apps whose workers consume the bridge's queues."""


def team_environment(broker_url: str, folder: Path, **more: str) -> dict[str, str]:
    """What the app reads besides the bridge's settings; its tasks' broker need not be the bridge's."""
    return {"TEAM_BROKER_URL": broker_url, "TEAM_NOTES": str(folder / "team-notes"), **more}


@contextmanager
def team_at_work(broker_url: str, *, every_s: float = 0.02) -> Iterator[list[int]]:
    """Calls the team's tasks all the while; gives how often, in a list."""
    sent, ending = [0], threading.Event()
    sender = Celery("sender", broker=broker_url, set_as_current=False)

    def send() -> None:
        with sender.connection_for_write() as connection:
            while not ending.wait(every_s):
                sender.send_task("team.add", args=[sent[0], 1], connection=connection)
                sent[0] += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        ending.set()
        thread.join(PROCESS_TIMEOUT_S)
        sender.close()
