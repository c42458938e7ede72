"""The topics of docs/catalog.md, in a gateway: who may hear one gets its stream, and no other client does."""

from typing import Any

import httpx
import pytest

from bridge import Registry, Settings
from bridge.gateway import create_app
from tests.support.identities import HeaderAuthenticator, names
from tests.support.snippets import blocks
from tests.support.worker import ROOT

PAGE = ROOT / "docs" / "catalog.md"


@pytest.mark.parametrize(
    ("user", "topics", "status"),
    [("ann", "order:42", 200), ("bob", "order:42", 403), ("ann", "order:43", 403), ("ann", "room:west", 403)],
)
async def test_the_pages_rule_works_as_it_stands(user: str, topics: str, status: int, redis_url: str) -> None:
    (snippet,) = [text for text in blocks(PAGE, "python") if "may_hear" in text]
    made: dict[str, Any] = {}
    exec(snippet, made)
    registry = Registry(
        event_types=names.event_types,
        categories=names.categories,
        events=names.events,
        user_id=str,
        topics=[made["order"], made["room"]],
    )
    app = create_app(Settings(broker_url=redis_url), registry, authenticator=HeaderAuthenticator(registry))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.head(f"/api/v1/events?topics={topics}", headers={"X-User": user})
    assert answer.status_code == status
