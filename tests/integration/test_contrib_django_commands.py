"""``manage.py bridge``: the commands of ``sse-bridge`` with a project's settings, its exit codes and sentences."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.local.redis_server import free_port
from tests.support.processes import assert_sentence, clean_environment, run, start
from tests.support.team_project import write_bridge_project
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

CATALOG = '"REGISTRY": "team_catalog:registry"'
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "team_settings")
execute_from_command_line(sys.argv)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_bridge_project(tmp_path, CATALOG)
    (tmp_path / "manage.py").write_text(MANAGE)
    return tmp_path


def manage(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = clean_environment({"DJANGO_SETTINGS_MODULE": "team_settings", **environment})
    return run([sys.executable, "-m", "django", *words], given, cwd=folder)


def test_each_command_is_there_with_its_help(project: Path) -> None:
    overview = manage(project, "bridge", "--help")
    assert overview.returncode == 0
    assert overview.stdout.startswith("Usage: manage.py bridge [OPTIONS] COMMAND")
    for command in ("worker", "gateway", "ops", "up", "status", "dead", "tail"):
        assert f"\n  {command} " in overview.stdout
    assert manage(project, "help", "bridge").stdout == overview.stdout
    assert "Usage: manage.py bridge dead redrive" in manage(project, "bridge", "dead", "redrive", "--help").stdout
    for shown in (overview.stdout, *(manage(project, "bridge", name, "--help").stdout for name in ("queues", "dead"))):
        assert "python manage.py bridge " in shown
        assert "sse-bridge" not in shown and "celery -A" not in shown


def test_the_settings_are_those_of_settings_py_and_sessions_say_who_is_asking(project: Path) -> None:
    for argv in (["-m", "django", "bridge"], ["-m", "bridge.cli"]):  # ``sse-bridge`` itself, told of the project
        environment = clean_environment({"DJANGO_SETTINGS_MODULE": "team_settings"})
        shown = run([sys.executable, *argv, "check", "--for", "gateway"], environment, cwd=project)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "team_catalog:registry has 1 type" in shown.stdout
        shown = run([sys.executable, *argv, "settings", "--json"], environment, cwd=project)
        assert "bridge.contrib.django.sessions:authenticator" in shown.stdout
    tokens = manage(project, "bridge", "settings", "--json", BRIDGE_JWT_SECRET="s" * 32)
    assert "bridge.contrib.django.sessions" not in tokens.stdout


WRONG = [
    (["nonsense"], 2, "There is no command 'nonsense'; see python manage.py bridge --help."),
    (["emit", "Placed", ""], 2, "To see one: python manage.py bridge emit Placed --example"),
    (["emit", "order.lost"], 2, "Error: "),
    (["gateway", "--port", "none"], 2, "Invalid value for '--port'"),
    (["worker", "--nonsense"], 2, "No such option"),
    (["status"], 1, "cannot be read"),
    (["status", "--settings", "team_settings"], 1, "cannot be read"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), WRONG)
def test_a_mistake_is_a_sentence_with_its_exit_code(project: Path, words: list[str], code: int, sentence: str) -> None:
    done = manage(project, "bridge", *words, BRIDGE_BROKER_URL="redis://127.0.0.1:1/0")
    assert_sentence(done, sentence, code=code)


def test_up_brings_no_server_where_settings_py_names_a_broker(project: Path) -> None:
    with (project / "team_settings.py").open("a") as settings:
        settings.write("\nBRIDGE['BROKER_URL'] = 'redis://127.0.0.1:6379/0'\n")
    done = manage(project, "bridge", "up", "--redis-port", "6380")
    assert_sentence(done, "--redis-port is for the embedded server", code=2)


def test_code_of_the_project_may_call_a_command(project: Path, redis_url: str) -> None:
    code = (
        "import django; django.setup()\n"
        "from django.core.management import CommandError, call_command\n"
        "call_command('bridge', 'queues', '--json')\n"
        "try:\n  call_command('bridge', 'trace', 'nonsense')\n"
        "except CommandError as error:\n  print(error.returncode, error)\n"
    )
    environment = clean_environment({"DJANGO_SETTINGS_MODULE": "team_settings", "BRIDGE_BROKER_URL": redis_url})
    done = run([sys.executable, "-c", code], environment, cwd=project)
    assert done.returncode == 0, done.stderr
    assert '"bridge.orders"' in done.stdout and "\n2 " in done.stdout


@pytest.mark.parametrize(
    ("words", "ready", "code"),
    [
        (("worker", "--loglevel", "INFO", "-n", "seven@%h"), "seven@", 1),  # as Celery has it
        (("gateway", "--port", "{port}"), "Application startup complete", 130),
    ],
)
def test_what_runs_on_ends_in_order_at_ctrl_c(
    project: Path, redis_url: str, words: tuple[str, ...], ready: str, code: int
) -> None:
    """Started from another folder than the project's."""
    argv = [sys.executable, str(project / "manage.py"), "bridge", *(word.format(port=free_port()) for word in words)]
    log = project / "process.log"
    environment = clean_environment({"BRIDGE_BROKER_URL": redis_url})
    with log.open("wb") as output:
        process = start(argv, environment, output)
    try:
        wait_until(lambda: ready in log.read_text() or process.poll() is not None, what="it runs")
        wait_until(lambda: " ready." in log.read_text() or words[0] == "gateway", what="the worker is ready")
        process.send_signal(signal.SIGINT)
        assert process.wait(PROCESS_TIMEOUT_S) == code, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()
