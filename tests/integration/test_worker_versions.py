"""A worker beside a Celery, kombu or redis-py that it cannot work with says which it needs; a producer needs less."""

import sys
import tomllib
from pathlib import Path

import pytest

from bridge.model.errors import WORKER_VERSIONS
from tests.support.processes import ROOT, assert_sentence, clean_environment, run

TEAM = """
from celery import Celery
from bridge.worker import install

app = Celery("team", broker="memory://")
install(app)
"""
NEEDS = "needs the extra 'worker' (celery 5.7, kombu 5.7, redis 8); here is celery 5.4.0, kombu 5.7"
WHAT_TO_DO = "Run: pip install 'sse-bridge[worker]'"


@pytest.fixture
def beside_celery_5_4(tmp_path: Path) -> dict[str, str]:
    """As if that release were installed: what a package says of itself is asked, and nothing of it is imported."""
    described = tmp_path / "celery-5.4.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: celery\nVersion: 5.4.0\n")
    (tmp_path / "team.py").write_text(TEAM)
    return clean_environment({"PYTHONPATH": f"{tmp_path}:{ROOT}", "COLUMNS": "1000", "PYTHONWARNINGS": "ignore"})


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "celery", "-A", "bridge.worker", "worker"),
        ("-m", "bridge.cli", "check", "--for", "worker"),
        ("-m", "bridge.cli", "worker"),
        ("-c", "from bridge.worker import app"),
        ("-m", "celery", "-A", "team", "worker"),
    ],
    ids=["celery", "check", "worker", "import", "installed"],
)
def test_a_worker_says_in_one_sentence_which_versions_it_needs(
    beside_celery_5_4: dict[str, str], command: tuple[str, ...]
) -> None:
    answer = run([sys.executable, *command], beside_celery_5_4, from_nothing=True)
    assert_sentence(answer, NEEDS, WHAT_TO_DO, code=1)
    assert len(answer.stderr.splitlines()) == 1


def test_a_producer_is_content_with_them(beside_celery_5_4: dict[str, str]) -> None:
    """Also one that has the app of the team's workers."""
    for command in (["-m", "bridge.cli", "check", "--for", "producer"], ["-c", "import team"]):
        answer = run([sys.executable, *command], beside_celery_5_4, from_nothing=True)
        assert (answer.returncode, answer.stderr) == (0, "")


def test_the_extra_installs_what_the_worker_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, version in WORKER_VERSIONS.items():
        above = [*version.split(".")[:-1], str(int(version.split(".")[-1]) + 1)]
        wanted = f">={version},<{'.'.join(above)}"
        extra = project["optional-dependencies"]["worker"]
        assert [one for one in extra if one.replace("[hiredis]", "") == f"{name}{wanted}"], (name, wanted)
