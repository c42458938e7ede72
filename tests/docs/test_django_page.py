"""docs/django.md: a new project with the page's files, as they stand there, knows its users and emits."""

import json
import re
import sys
from pathlib import Path

import pytest
import redis

from tests.support.processes import clean_environment, run
from tests.support.snippets import blocks
from tests.support.worker import ROOT

PAGE = ROOT / "docs" / "django.md"
NAME = re.compile(r"(?:# |<!-- )([\w/]+\.\w+)")
VISIT = """
import json
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from mysite.asgi import application
from tests.support.asgi_client import TestClient
import bridge

EVENTS = "/api/v1/events"
call_command("migrate", verbosity=0)
browser = Client(enforce_csrf_checks=True, SERVER_NAME="127.0.0.1")
led_to = browser.get("/").url
browser.force_login(User.objects.create_user("ada"))
page = browser.get("/").content.decode()
token = browser.cookies["csrftoken"].value
with TestClient(application, base_url="http://127.0.0.1") as client:
    stranger = client.head(EVENTS).status_code
    client.cookies["sessionid"] = browser.cookies["sessionid"].value
    user = client.head(EVENTS).status_code
    forged = browser.post("/orders/A-1/pay").status_code
    paid = browser.post("/orders/A-1/pay", {"csrfmiddlewaretoken": token}).status_code
    flushed = bridge.flush(60)
print(json.dumps([led_to, "csrfmiddlewaretoken" in page, stranger, user, forged, paid, flushed]))
"""

HEAR = """
import json
import django
django.setup()
from django.contrib.auth.models import Group, User
from django.core.management import call_command
import bridge
from bridge.gateway import Principal
from bridge.testing import StreamRefusedError, memory_bridge
from mysite.events import NoticePosted, is_member, registry

call_command("migrate", verbosity=0)
ada, bob, group = User.objects.create_user("ada"), User.objects.create_user("bob"), Group.objects.create(name="lunch")
ada.groups.add(group)
found = [is_member(Principal(user=user.pk), group.pk) for user in (ada, bob)]
with memory_bridge(registry) as memory:
    stream = memory.connect(ada.pk, topics=[f"group:{group.pk}"])
    bridge.emit(NoticePosted(group_id=group.pk, text="Lunch!"))
    found.append(stream.next().payload)
    try:
        memory.connect(bob.pk, topics=[f"group:{group.pk}"])
    except StreamRefusedError as refused:
        found.append(refused.status)
print(json.dumps(found))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder in which a reader has followed the page."""
    done = run([sys.executable, "-m", "django", "startproject", "mysite", "."], clean_environment(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in [*blocks(PAGE, "py"), *blocks(PAGE, "html")]:
        if named := NAME.match(text):
            with (tmp_path / named[1]).open("a" if "settings" in named[1] else "w") as file:
                file.write(text)
    return tmp_path


def test_the_pages_project_lets_its_users_in_and_emits(
    project: Path, redis_url: str, redis_client: redis.Redis
) -> None:
    given = {"BRIDGE_BROKER_URL": redis_url, "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    visited = run([sys.executable, "-c", VISIT], clean_environment(given), cwd=project)
    assert visited.returncode == 0, visited.stderr
    assert json.loads(visited.stdout) == ["/admin/login/?next=/", True, 401, 200, 403, 204, True]
    assert redis_client.llen("bridge.order") == 1


def test_the_pages_project_is_found_without_a_fault(project: Path) -> None:
    given = clean_environment({"DJANGO_SETTINGS_MODULE": "mysite.settings"})
    for words in (["check", "--fail-level", "WARNING"], ["bridge", "check", "--for", "gateway"]):
        done = run([sys.executable, "-m", "django", *words], given, cwd=project)
        assert done.returncode == 0, done.stderr


def test_the_pages_topic_is_heard_by_members_alone(project: Path) -> None:
    (topics,) = [text for text in blocks(PAGE, "py") if "may_hear" in text]
    (project / "mysite" / "events.py").write_text(topics)
    given = {"BRIDGE_BROKER_URL": "redis://127.0.0.1:1/0", "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    heard = run([sys.executable, "-c", HEAR], clean_environment(given), cwd=project)
    assert heard.returncode == 0, heard.stderr
    assert json.loads(heard.stdout) == [True, False, {"text": "Lunch!"}, 403]


def test_it_is_as_many_lines_as_the_page_says() -> None:
    files = {named[1]: text for text in [*blocks(PAGE, "py"), *blocks(PAGE, "html")] if (named := NAME.match(text))}
    own = [line for line in files["mysite/events.py"].splitlines()[1:] if line.strip()]
    words = ("bridge", "BRIDGE", "emit_on_commit(", "import OrderPaid", "EventSource", "IMMEDIATE")
    others = [line for name, text in files.items() for line in text.splitlines() if name != "mysite/events.py"]
    own += [line for line in others if any(word in line for word in words)]
    assert len(own) == 14 and "fourteen lines" in " ".join(PAGE.read_text().split())
