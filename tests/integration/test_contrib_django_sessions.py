"""Django's session login opens the stream: every engine, every kind of ids; and who may not is refused."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.processes import clean_environment, run

SCRIPT = "tests.support.django_sessions"
ENGINES = ("db", "cached_db", "cache", "file", "signed_cookies")
KINDS = (("int", "int"), ("str", "int"), ("uuid", "uuid"), ("str", "uuid"))
CASES = [(engine, "int", "int") for engine in ENGINES] + [("db", *kinds) for kinds in KINDS[1:]]


@pytest.mark.parametrize(("engine", "kind", "key"), CASES)
def test_a_session_is_believed_as_django_believes_it(tmp_path: Path, engine: str, kind: str, key: str) -> None:
    done = run([sys.executable, "-m", SCRIPT, engine, kind, key], clean_environment(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    signed_out = {} if engine == "signed_cookies" else {"signed out": None}
    assert said == {
        "user": True, "within an hour": True, "session": True, "no session": [None] * 7, "as long as the session": True,
        "expired": None, "not active": None, "active again": True, "password changed": None, "deleted": None,
        "older secret": [True, True], **signed_out,
    }  # fmt: skip
