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

LIFESPANS = """
import json
from contextlib import asynccontextmanager
from examples.django_app import asgi
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from bridge.contrib.django import with_bridge
from tests.support.asgi_client import TestClient

seen = []


def of_starlette(fails=""):
    @asynccontextmanager
    async def lifespan(app):
        seen.append("began")
        if fails == "begin":
            raise LookupError("no database")
        yield {"of": "its own"}
        seen.append("ended")
        if fails == "end":
            raise LookupError("no database")

    return Starlette(routes=[Route("/", lambda request: JSONResponse(request.state.of))], lifespan=lifespan)


async def of_few_words(scope, receive, send):
    if scope["type"] == "lifespan":
        seen.append((await receive())["type"])
        return await send({"type": "lifespan.startup.complete"})
    await JSONResponse("few")(scope, receive, send)


async def that_talks_http(scope, receive, send):
    await JSONResponse("http")(scope, receive, send)


async def that_goes_on(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            seen.append((message := await receive())["type"])
            await send({"type": message["type"] + ".complete"})
    await JSONResponse("on")(scope, receive, send)


def tried(application):
    seen.clear()
    said = []
    try:
        with TestClient(with_bridge(application), base_url="http://127.0.0.1") as client:
            said += [client.get("/").json(), *seen, client.get("/api/v1/events").status_code]
            seen.clear()
    except Exception as error:
        said.append("no database" in str(error))
    return said + seen


print(json.dumps({
    "starlette": tried(of_starlette()),
    "does not begin": tried(of_starlette("begin")),
    "does not end": tried(of_starlette("end")),
    "few": tried(of_few_words),
    "http": tried(that_talks_http),
    "on": tried(that_goes_on),
}))
"""


def test_an_application_with_a_lifespan_of_its_own_has_it(redis_url: str, tmp_path: Path) -> None:
    given = {"BRIDGE_BROKER_URL": redis_url, "SHOP_DATABASE": str(tmp_path / "db.sqlite3")}
    done = run([sys.executable, "-c", LIFESPANS], clean_environment(given))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "starlette": ["its own", "began", 401, "ended"],
        "does not begin": [True, "began"],
        "does not end": ["its own", "began", 401, True, "ended"],
        "few": ["few", "lifespan.startup", 401],
        "http": ["http", 401],
        "on": ["on", "lifespan.startup", 401, "lifespan.shutdown"],
    }
    assert "never retrieved" not in done.stderr


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
