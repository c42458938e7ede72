"""A Django project's own Celery app: configured from Django after ``install``, with a catalog that imports models."""

import sys
from pathlib import Path

import redis

from tests.support.keys import user_stream
from tests.support.processes import clean_environment, run
from tests.support.waiting import wait_until
from tests.support.worker import ROOT, running_worker

FILES = {
    "proj/__init__.py": "from .celery import app as celery_app\n",
    "proj/celery.py": """
from bridge.worker import install
from celery import Celery

app = Celery("proj")
install(app)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
""",
    "proj/settings.py": """
import os

SECRET_KEY = "secret"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
CELERY_BROKER_URL = os.environ["BRIDGE_BROKER_URL"]
""",
    "shop/__init__.py": "",
    "shop/events.py": """
from bridge import Event, catalog_of
from django.contrib.auth.models import User

class Paid(Event):
    user_id: int
    number: str

registry = catalog_of({"order.paid": Paid}, user_id=int)
""",
    "shop/tasks.py": """
from bridge import emit
from celery import shared_task

@shared_task
def pay(number):
    from shop.events import Paid

    emit(Paid(user_id=5, number=number))
""",
}


def test_a_django_projects_worker_publishes_what_its_task_emits(
    tmp_path: Path, redis_url: str, redis_client: redis.Redis
) -> None:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    environment = clean_environment(
        {
            "BRIDGE_BROKER_URL": redis_url,
            "BRIDGE_REGISTRY": "shop.events:registry",
            "DJANGO_SETTINGS_MODULE": "proj.settings",
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
        }
    )
    with running_worker(tmp_path, environment, app="proj", cwd=tmp_path, from_nothing=True):
        call = "import django; django.setup(); from shop.tasks import pay; pay.delay('A-1')"
        called = run([sys.executable, "-c", call], environment, cwd=tmp_path, from_nothing=True)
        assert called.returncode == 0, called.stderr
        wait_until(lambda: redis_client.xlen(user_stream(5)), what="the user is told")
