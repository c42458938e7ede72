"""docker-compose.yml: valid, and it says what is missing instead of starting without it."""

import os
import shutil
import subprocess

import pytest

from tests.support.worker import ROOT, clean_environment


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """The command, as a plugin or on its own."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    if os.environ.get("CI") == "true":
        pytest.fail("neither docker compose nor docker-compose is installed")
    pytest.skip("neither docker compose nor docker-compose is installed")


def config(compose: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*compose, "config"], cwd=ROOT, env={**clean_environment(), **environment}, capture_output=True, text=True
    )


def test_it_is_valid(compose: list[str]) -> None:
    answer = config(compose, BRIDGE_JWT_SECRET="x" * 32)

    assert answer.returncode == 0, answer.stderr
    assert "--maxmemory-policy noeviction" in " ".join(answer.stdout.split())


def test_without_a_secret_for_tokens_it_says_so(compose: list[str]) -> None:
    answer = config(compose)

    assert answer.returncode != 0
    assert "openssl rand -hex 32" in answer.stderr
