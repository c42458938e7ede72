"""Every snippet of every page: Python runs, commands exist and take their options, images are built as ours is."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.cli.app import COMMANDS, cli
from tests.support.snippets import blocks, commands_in, fault_of
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.worker import ROOT, clean_environment

SHOP = ROOT / "examples" / "shop"
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *EXAMPLES, *sorted((ROOT / "docs").glob("*.md"))]
PYTHON = [page for page in PAGES if blocks(page, "python")]


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PYTHON, ids=page_name)
def test_the_python_of_a_page_read_from_top_to_bottom_is_a_program_that_runs(page: Path, redis_url: str) -> None:
    environment = {
        **clean_environment(),
        "BRIDGE_BROKER_URL": redis_url,
        "BRIDGE_JWT_SECRET": "a secret of at least thirty-two bytes",
        "BRIDGE_OPS_TOKEN": "a-token-of-the-operators",
    }
    program = "\n\n".join(blocks(page, "python"))
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=page_name)
def test_every_command_of_a_page_exists_and_takes_its_options(page: Path) -> None:
    commands = [command for script in blocks(page, "sh") for command in commands_in(script)]
    assert commands
    assert {" ".join(command): fault for command in commands if (fault := fault_of(command))} == {}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_command_within_a_sentence_exists_and_takes_its_options(page: Path) -> None:
    named = re.findall(r"`((?:sse-bridge|celery -A bridge|uvicorn bridge|make) [^`]*)`", page.read_text())
    commands = [command for text in named for command in commands_in(text.replace("[", "").replace("]", ""))]
    faults = {" ".join(command): fault for command in commands if (fault := fault_of(command))}
    # A sentence may name a command or an option without the value that it takes.
    assert {name: fault for name, fault in faults.items() if not re.search("Missing|requires an arg", fault)} == {}


def helps(command: click.Command, path: str) -> list[tuple[str, str]]:
    found = [(path, command.help or "")]
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            assert below is not None
            found += helps(below, f"{path} {name}")
    return found


@pytest.mark.parametrize(("path", "text"), helps(cli, "sse-bridge"), ids=lambda value: value if len(value) < 40 else "")
def test_the_examples_of_a_help_exist_and_name_what_exists(path: str, text: str) -> None:
    examples = re.findall(r"^  ((?:[A-Z_]+=\S+ )*sse-bridge .*)$", text, re.MULTILINE)
    commands = [command for line in examples for command in commands_in(re.sub(r" {3,}.*", "", line))]
    assert {" ".join(command): fault for command in commands if (fault := fault_of(command))} == {}, path
    types = {row.domain_event_class.__name__ for row in REGISTRY.mappings} | {
        meta.event_type.value for meta in REGISTRY.events
    }
    assert set(re.findall(r"--type[ =](\S+)", text)) <= types


# The incident has a catalog of its own, and is compared with what its commands print.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "incident.md"], ids=page_name)
def test_an_event_class_that_a_command_names_is_in_the_built_in_catalog(page: Path) -> None:
    types = {row.domain_event_class.__name__ for row in REGISTRY.mappings} | {
        meta.event_type.value for meta in REGISTRY.events
    }
    assert set(re.findall(r"--type[ =]([\w.]+)", page.read_text())) <= types


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_an_image_that_is_built_on_ours_may_write_and_gives_the_rights_back(page: Path) -> None:
    ours = (ROOT / "Dockerfile").read_text()
    user = re.findall(r"^USER (\S+)", ours, re.MULTILINE)[-1]
    for text in blocks(page, "dockerfile"):
        if not text.startswith("FROM sse-bridge"):
            continue
        users = [(found.start(), found[1]) for found in re.finditer(r"^USER (\S+)", text, re.MULTILINE)]
        for run in re.finditer(r"^RUN ", text, re.MULTILINE):
            before = [name for place, name in users if place < run.start()]
            assert before[-1:] == ["root"]
        assert users[-1][1] == user
        for folder in re.findall(r"/opt/\w+", text):
            assert folder in ours


def test_the_operating_page_shows_an_image_of_ones_own() -> None:
    assert any("BRIDGE_REGISTRY" in text for text in blocks(ROOT / "docs" / "operating.md", "dockerfile"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "js")], ids=page_name)
def test_the_javascript_of_a_page_can_be_read(page: Path) -> None:
    node = shutil.which("node")
    if node is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("node is not installed")
    for code in blocks(page, "js"):
        result = subprocess.run(
            [node, "--input-type=module", "--check"],
            input=code,
            capture_output=True,
            text=True,
            timeout=PROCESS_TIMEOUT_S,
        )
        assert result.returncode == 0, result.stderr


def test_a_tool_that_the_readme_starts_is_one_that_it_installs() -> None:
    text = (ROOT / "README.md").read_text()
    installs = " ".join(re.findall(r"pip install [^\n`]*", text))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for names in re.findall(r"\[([a-z,]+)\]", installs) for name in names.split(",")]
    brought = installs + " ".join(package for extra in extras for package in project["optional-dependencies"][extra])
    for tool in ("honcho", "uvicorn"):
        assert tool not in text or tool in brought, tool


def test_the_shop_needs_nothing_but_what_bridge_brings() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = {re.split(r"[\[<>=~ ]", package)[0] for package in project["dependencies"]}
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]  # type: ignore[union-attr]
        for path in SHOP.glob("*.py")
        if path.name != "pay_order.py"  # for those who have a database and SQLAlchemy
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported - sys.stdlib_module_names - {"bridge", "examples"} <= brought


def test_every_command_is_known_to_the_readers_of_some_page() -> None:
    pages = "\n".join(page.read_text() for page in PAGES)
    assert [name for name in COMMANDS if f"sse-bridge {name}" not in pages and f"make {name}" not in pages] == []
