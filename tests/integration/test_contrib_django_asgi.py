"""``with_bridge``: what a Django project's ASGI application answers, with and without a server's lifespan."""

import json
import sys
from pathlib import Path

from tests.support.processes import clean_environment, run

CODE = """
import json
import os
from examples.django_app.asgi import application
from bridge import Settings, SettingsError
from bridge.contrib.django import with_bridge
from tests.support import identities
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
    client.cookies["sessionid"] = "0" * 32
    found["no table"] = [client.get(EVENTS).status_code, "session" in client.get(EVENTS).text]
django = application.routes[-1].app
path = "tests.support.identities:of_numbers"
named = Settings(broker_url=os.environ["BRIDGE_BROKER_URL"], gateway_authenticator=path)
for options in ({"authenticator": identities.of_numbers}, {"settings": named, "registry": identities.numbers}):
    with TestClient(with_bridge(django, **options), headers={"X-User": "7"}) as client:
        found[next(iter(options))] = client.head(EVENTS).status_code
for arguments in ((None,), (django, 7)):
    try:
        with_bridge(arguments[0], **dict(zip(["authenticator"], arguments[1:])))
    except SettingsError as error:
        found.setdefault("wrong", []).append(str(error))
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
        "no table": [503, False],
        "authenticator": 200,
        "settings": 200,
        "wrong": [
            "with_bridge wants an ASGI application, not None.",
            "authenticator= has no method `async def identify(self, request)`; its type is int.",
        ],
    }
