"""``with_bridge``: what a Django project's ASGI application answers, with and without a server's lifespan."""

import json
import sys
from pathlib import Path

from tests.support.processes import clean_environment, run

CODE = """
import json
from examples.django_app.asgi import application
from bridge import SettingsError
from bridge.contrib.django import with_bridge
from tests.support.asgi_client import TestClient

EVENTS = "/api/v1/events"
client = TestClient(application, base_url="http://127.0.0.1")
refused = client.get(EVENTS)
found = {
    "no lifespan": [refused.status_code, "lifespan" in refused.json()["detail"], client.get("/login/").status_code],
    "ticket": client.post(EVENTS + "/ticket").status_code,
    "beneath": client.get("/api/v1").status_code,
}
with TestClient(with_bridge(application.routes[-1].app), base_url="http://127.0.0.1") as client:
    found["lifespan"] = [client.get(EVENTS).status_code, client.get("/login/").status_code]
try:
    with_bridge(None)
except SettingsError as error:
    found["wrong"] = str(error)
print(json.dumps(found))
"""


def test_the_stream_is_the_gateways_and_all_else_is_djangos(redis_url: str, tmp_path: Path) -> None:
    given = {"BRIDGE_BROKER_URL": redis_url, "SHOP_DATABASE": str(tmp_path / "db.sqlite3")}
    done = run([sys.executable, "-c", CODE], clean_environment(given))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "no lifespan": [503, True, 200],
        "ticket": 401,
        "beneath": 404,
        "lifespan": [401, 200],
        "wrong": "with_bridge wants an ASGI application, not None.",
    }
