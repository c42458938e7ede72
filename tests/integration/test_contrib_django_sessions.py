"""Django's session login opens the stream: every engine, every kind of ids; and who may not is refused."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.processes import clean_environment, run
from tests.support.team_project import write_bridge_project

RULES = """
import asyncio

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["bridge.contrib.django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}},
    BRIDGE={"BROKER_URL": "redis://127.0.0.1:1/0"},
)
django.setup()

from django.db import connection, connections

from bridge.gateway import Principal
from bridge.gateway.asking import Questions

opened = []


def may_hear(principal, key):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    opened.append(connections["default"])
    return True


async def ask():
    return [await Questions().ask(10.0, may_hear, Principal(user=7), key) for key in range(50)]


assert asyncio.run(ask()) == [True] * 50
print(len(set(map(id, opened))), sum(one.connection is not None for one in opened))
"""

SCRIPT = "tests.support.django_sessions"
ENGINES = ("db", "cached_db", "cache", "file", "signed_cookies")
KINDS = (("int", "int"), ("str", "int"), ("uuid", "uuid"), ("str", "uuid"))
SECRET = "x" * 32
HEARS = """
import django; django.setup()
from django.contrib.auth.signals import user_logged_out
print(len(user_logged_out.receivers))
"""
TOKENS_TOO = (
    HEARS
    + """
from bridge.contrib.django import with_bridge
with_bridge(print)
print(len(user_logged_out.receivers))
"""
)
CASES = [(engine, "int", "int") for engine in ENGINES] + [("db", *kinds) for kinds in KINDS[1:]]


@pytest.mark.parametrize(("engine", "kind", "key"), CASES)
def test_a_session_is_believed_as_django_believes_it(tmp_path: Path, engine: str, kind: str, key: str) -> None:
    done = run([sys.executable, "-m", SCRIPT, engine, kind, key], clean_environment(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    signed_out = {} if engine == "signed_cookies" else {"signed out": None}
    assert said == {
        "user": True, "within five minutes": True, "session": True, "no session": [None] * 7,
        "as long as the session": True, "expired": None, "not active": None, "active again": True,
        "password changed": None, "deleted": None, "older secret": [True, True], **signed_out,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bridge", "receivers"),
    [
        ("", "1"),
        ('"GATEWAY_AUTHENTICATOR": "shop.streams:members"', "1"),
        (f'"JWT_SECRET": "{SECRET}"', "0"),
        ('"GATEWAY_DEV": True', "0"),
    ],
)
def test_a_sign_out_is_heard_where_the_gateway_asks_django(tmp_path: Path, bridge: str, receivers: str) -> None:
    project = write_bridge_project(tmp_path, bridge)
    done = run([sys.executable, "-c", HEARS], clean_environment(project), cwd=tmp_path)
    assert (done.stdout.strip(), done.returncode) == (receivers, 0), done.stderr


def test_with_bridge_hears_it_also_beside_a_gateway_that_believes_tokens(tmp_path: Path) -> None:
    project = write_bridge_project(tmp_path, f'"JWT_SECRET": "{SECRET}"')
    done = run([sys.executable, "-c", TOKENS_TOO], clean_environment(project), cwd=tmp_path)
    assert (done.stdout.split(), done.returncode) == (["0", "1"], 0), done.stderr


def test_a_rule_that_asks_the_database_gives_its_connection_back(tmp_path: Path) -> None:
    done = run([sys.executable, "-c", RULES], clean_environment(), cwd=tmp_path)
    assert (done.stdout.split(), done.returncode) == (["50", "0"], 0), done.stderr
