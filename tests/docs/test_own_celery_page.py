"""docs/own-celery.md: the files of the page, as they stand there, are a project whose worker publishes."""

import re
import sys
from pathlib import Path

import pytest
import redis

from tests.support.keys import user_stream
from tests.support.processes import COMMAND, clean_environment, run
from tests.support.snippets import blocks
from tests.support.waiting import wait_until
from tests.support.worker import ROOT, running_worker

PAGE = ROOT / "docs" / "own-celery.md"
NAME = re.compile(r"# (proj/\w+\.py)\n")


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> dict[str, str]:
    """The environment of a folder with the page's files, which the page's own commands set but for the server."""
    (tmp_path / "proj").mkdir()
    for text in blocks(PAGE, "py"):
        (tmp_path / NAME.match(text)[1]).write_text(text.replace("redis://127.0.0.1:6379/0", redis_url))
    (tmp_path / "proj" / "__init__.py").write_text("from proj.celery import app as app\n")
    (commands,) = blocks(PAGE, "sh")
    told = dict(word.split("=", 1) for word in commands.splitlines()[0].split()[1:])
    paths = f"{tmp_path}:{ROOT}"
    return clean_environment({**told, "BRIDGE_BROKER_URL": redis_url, "PYTHONPATH": paths})


def test_the_pages_project_publishes_what_its_task_emits(
    project: dict[str, str], tmp_path: Path, redis_client: redis.Redis
) -> None:
    with running_worker(tmp_path, project, app="proj", cwd=tmp_path, from_nothing=True):
        call = "from proj.tasks import make_report; make_report.delay(7, 'May')"
        called = run([sys.executable, "-c", call], project, cwd=tmp_path, from_nothing=True)
        assert called.returncode == 0, called.stderr
        wait_until(lambda: redis_client.xlen(user_stream(7)), what="the user is told")


def test_the_page_checks_its_app(project: dict[str, str], tmp_path: Path) -> None:
    checked = run([*COMMAND, "check", "--celery-app", "proj.celery"], project, cwd=tmp_path, from_nothing=True)
    assert checked.returncode == 0, checked.stderr
    assert "a worker of proj.celery consumes bridge.report beside the app's queues" in checked.stdout


def test_the_example_is_the_pages_project() -> None:
    for text in blocks(PAGE, "py"):
        name = NAME.match(text)[1]
        example = (ROOT / "examples" / "own_celery" / Path(name).name).read_text()
        lines = [line.replace("proj.", "examples.own_celery.") for line in text.splitlines()[1:]]
        assert [line for line in lines if line.partition("  #")[0] not in example] == []
