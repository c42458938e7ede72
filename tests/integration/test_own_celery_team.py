"""A team's tasks run in a worker with the bridge exactly as in one without: each of Celery's features, twice."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, chord
from celery.exceptions import TaskRevokedError, TimeLimitExceeded

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from tests.support.moody_catalog import Moody, registry
from tests.support.team import APP, team_environment
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, moody_environment, running_worker


class Team:
    """A running worker, as somebody sees it who calls its tasks."""

    def __init__(self, url: str, notes: Path) -> None:
        self.app = Celery("sender", broker=url, backend=url, set_as_current=False)
        self.app.conf.result_accept_content = ["json", "pickle"]
        self._notes = notes

    def call(self, task: str, *args: Any, **options: Any) -> Any:
        return self.app.send_task(f"team.{task}", args=args, **options)

    def signature(self, task: str, *args: Any) -> Any:
        return self.app.signature(f"team.{task}", args=args, app=self.app)

    def notes(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []

    def let_go(self) -> None:
        """End the task that holds the pool."""
        with self._notes.open("a") as file:
            file.write("go\n")


@contextmanager
def a_team(folder: Path, *, alone: bool, **more: str) -> Iterator[tuple[Team, dict[str, str]]]:
    """A server, and the environment of the team's workers on it; events wait for them, if the bridge is there."""
    folder.mkdir()
    with EmbeddedServer() as server:
        settings = Settings(broker_url=server.url)
        environment = {
            **moody_environment(settings, folder),
            **team_environment(server.url, folder, TEAM_RESULTS=server.url, **more),
            **({"TEAM_ALONE": "1"} if alone else {}),
        }
        emitter = Emitter(settings, registry)
        if not alone:
            emitter.emit_many([Moody(user_id=None, number=number) for number in range(300)])
            assert emitter.flush(WAIT_S)
        yield Team(server.url, folder / "team-notes"), environment
        emitter.close()


def what_celery_does(folder: Path, *, alone: bool) -> dict[str, Any]:
    """Of each feature what became of it."""
    with (
        a_team(folder, alone=alone, TEAM_CONCURRENCY="2") as (team, environment),
        running_worker(folder, environment, "-B", f"--schedule={folder}/beat", app=APP),
    ):
        begun = time.time()
        late = team.call("timed", 0, countdown=1)
        at = team.call("timed", 0, eta=datetime.now(UTC) + timedelta(seconds=1))
        unwanted = str(uuid4())
        assert team.app.control.revoke(unwanted, reply=True, limit=1, timeout=WAIT_S)
        revoked = team.call("note", "revoked", task_id=unwanted)
        paced = [team.call("timed", number) for number in range(6)]
        killed = team.call("pause", 600, "killed", time_limit=1)
        outcome = {
            "result": team.call("add", 1, 2).get(timeout=WAIT_S),
            "chord": chord((team.signature("add", n, n) for n in range(5)), team.signature("total"), app=team.app)
            .apply_async()
            .get(timeout=WAIT_S),
            "chain": (team.signature("add", 1, 2) | team.signature("add", 3)).apply_async().get(WAIT_S),
            "retries": team.call("retry").get(timeout=WAIT_S),
            "soft limit": team.call("limited").get(timeout=WAIT_S),
            "hard limit": type(killed.get(timeout=WAIT_S, propagate=False)),
            "countdown": late.get(timeout=WAIT_S) - begun >= 1,
            "eta": at.get(timeout=WAIT_S) - begun >= 1,
            "revoked": type(revoked.get(timeout=WAIT_S, propagate=False)),
        }
        times = sorted(one.get(timeout=WAIT_S) for one in paced)
        outcome["rate limit"] = times[-1] - times[0] >= 0.8  # five a second
        wait_until(lambda: team.notes().count("tick") >= 2, what="beat has sent it twice")
        outcome["revoked ran"] = "revoked" in team.notes()
        outcome["queues"] = {
            queue["name"] for queues in team.app.control.inspect().active_queues().values() for queue in queues
        }
    return outcome


def test_every_feature_of_celery_works_as_without_the_bridge(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as both:
        beside = both.submit(what_celery_does, tmp_path / "beside", alone=False)
        alone = both.submit(what_celery_does, tmp_path / "alone", alone=True)
        assert beside.result() == alone.result()
    assert alone.result() == {
        "result": 3,
        "chord": 20,
        "chain": 6,
        "retries": 2,
        "soft limit": "limited",
        "hard limit": TimeLimitExceeded,
        "countdown": True,
        "eta": True,
        "revoked": TaskRevokedError,
        "rate limit": True,
        "revoked ran": False,
        "queues": {"celery"},
    }


@pytest.mark.parametrize("alone", [True, False], ids=["stock", "with the bridge"])
def test_a_late_acknowledged_task_comes_back_after_a_kill(tmp_path: Path, alone: bool) -> None:
    with a_team(tmp_path / "a", alone=alone, TEAM_ACKS_LATE="1", TEAM_VISIBILITY_S="2") as (team, environment):
        doomed = WorkerProcess(tmp_path / "doomed.log", environment, app=APP)
        doomed.wait_until_ready()
        team.call("once_slow")
        wait_until(lambda: team.notes() == ["begin"], what="it runs")
        doomed.kill()
        with running_worker(tmp_path, environment, app=APP):
            wait_until(lambda: team.notes()[:3] == ["begin", "begin", "end"], what="it ran again")


@pytest.mark.parametrize("alone", [True, False], ids=["stock", "with the bridge"])
def test_a_task_with_a_priority_overtakes(tmp_path: Path, alone: bool) -> None:
    with (
        a_team(tmp_path / "a", alone=alone) as (team, environment),
        running_worker(tmp_path, environment, app=APP),
    ):
        team.call("hold")
        wait_until(lambda: team.notes() == ["begin"], what="the pool is busy")
        for number in range(4):
            team.call("note", f"low {number}", priority=9)
        for number in range(3):
            team.call("note", f"high {number}", priority=0)
        team.let_go()
        wait_until(lambda: len(team.notes()) == 9, what="all have run")
        # The worker may have fetched one of them before.
        assert team.notes().index("high 2") < team.notes().index("low 2")
