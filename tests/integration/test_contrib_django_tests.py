"""A team's own tests, by Django's runner: events are seen as if they were committed, and none is sent."""

import sys

from tests.support.processes import clean_environment, run


def test_a_team_s_tests_see_events_and_send_none() -> None:
    environment = clean_environment({"DJANGO_SETTINGS_MODULE": "tests.support.django_project.settings"})
    done = run([sys.executable, "-m", "django", "test", "tests.support.django_project.tests"], environment)
    assert done.returncode == 0, done.stderr
    assert "Ran 13 tests" in done.stderr
