"""Advice calls commands as the process was called: what it says can be typed, and means the same settings."""

from collections.abc import Iterator

import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.operations.health import judge
from bridge.operations.survey import Survey
from bridge.runtime.command_names import call_commands, command, renamed, worker_command
from bridge.settings import Settings


@pytest.fixture
def in_django() -> Iterator[None]:
    call_commands("python manage.py bridge")
    yield
    call_commands("sse-bridge")


def test_elsewhere_the_commands_are_called_as_they_are() -> None:
    assert command("dead groups") == "sse-bridge dead groups"
    assert worker_command("-Q", "x") == "celery -A bridge.worker worker -Q x"
    assert renamed("see sse-bridge queues") == "see sse-bridge queues"


@pytest.mark.usefixtures("in_django")
def test_a_project_of_django_is_told_its_own() -> None:
    assert command("dead groups") == "python manage.py bridge dead groups"
    assert worker_command("-Q", "x") == "python manage.py bridge worker -Q x"
    assert renamed("`sse-bridge up`, or celery -A bridge.worker worker -Q x, of the package sse-bridge.") == (
        "`python manage.py bridge up`, or python manage.py bridge worker -Q x, of the package sse-bridge."
    )


@pytest.mark.usefixtures("in_django")
def test_status_says_how_to_start_a_worker_of_this_project() -> None:
    (fault,) = judge(Settings(), REGISTRY, Survey(queues=(), claimed=0, retries=()), [])
    assert fault.sentence == "No worker consumes. Start one: python manage.py bridge worker"
