"""No address of the gateway or of the operators' page sends a client to the host that a request names."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from bridge.catalogs.finance import REGISTRY
from bridge.gateway import create_app
from bridge.ops import create_ops_app
from bridge.settings import Settings
from tests.support.ops_page import OPERATOR, filled
from tests.support.streams import SECRET

SETTINGS = Settings(broker_url="redis://127.0.0.1:1/0", jwt_secret=SECRET)
APPS = {
    "gateway": create_app(SETTINGS, REGISTRY),
    "ops": create_ops_app(Settings(broker_url=SETTINGS.broker_url, ops_token=OPERATOR), REGISTRY),
    "ops without a page": create_ops_app(SETTINGS, REGISTRY),
}
ADDRESSES = [
    (name, method, filled(route.path.replace("{name}", "ops.css")))
    for name, app in APPS.items()
    for route in app.routes
    if isinstance(route, Route)
    for method in sorted(route.methods or ())
]


@pytest.mark.parametrize(("app", "method", "path"), ADDRESSES)
async def test_an_address_with_or_without_its_slash_leads_to_no_other_host(app: str, method: str, path: str) -> None:
    other = path.removesuffix("/") if path.endswith("/") and path != "/" else path + "/"
    for asked in (path, other, path + "//", "//evil.example" + path):
        answer = await _ask(APPS[app], method, asked)
        assert answer.status_code != 307, asked
        assert "evil" not in answer.headers.get("Location", ""), asked


async def _ask(app: Starlette, method: str, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
        headers = {"Accept": "text/html", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
        return await client.send(client.build_request(method, "http://evil.example" + path, headers=headers))
