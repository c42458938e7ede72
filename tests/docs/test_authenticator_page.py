"""The authenticator of docs/catalog.md, in a gateway: who is signed in is let in, and nobody else."""

from typing import Any

import httpx
import pytest

from bridge import Settings
from bridge.gateway import create_app
from tests.support.identities import numbers
from tests.support.snippets import blocks
from tests.support.worker import ROOT

PAGE = ROOT / "docs" / "catalog.md"


@pytest.mark.parametrize(("cookie", "status"), [("session=k2j4h5", 200), ("session=other", 401), ("", 401)])
async def test_the_pages_authenticator_works_as_it_stands(cookie: str, status: int, redis_url: str) -> None:
    (snippet,) = [text for text in blocks(PAGE, "python") if "Authenticator" in text]
    made: dict[str, Any] = {}
    exec(snippet, made)
    app = create_app(Settings(broker_url=redis_url), numbers, authenticator=made["authenticator"])
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.head("/api/v1/events", headers={"Cookie": cookie})
    assert answer.status_code == status
    assert len([line for line in snippet.splitlines() if line.strip()]) <= 10
