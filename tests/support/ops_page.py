"""A browser on the operators' page, without a browser: requests as one makes them, signed in or not."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import redis

from bridge.model.pipeline import Failure
from bridge.model.retry import Attempt, RetryRecord
from bridge.ops import create_ops_app
from bridge.ops.asgi import PAGES
from bridge.redis_adapter import RetrySet
from bridge.settings import Settings
from tests.support.letters import QUEUE, TASK, a_letter
from tests.support.moody_catalog import registry

OPERATOR, VIEWER = "operator-token-0123", "viewer-token-01234"
ORIGIN = "http://ops"
SECRET = "tea-with-the-queen"
ACTS = [page.path for page in PAGES if page.method == "POST"]
VIEWS = [page.path for page in PAGES if page.method == "GET"]


@asynccontextmanager
async def browser(
    settings: Settings, token: str = "", headers: dict[str, str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that behaves as a browser does on our own page; signed in if there is a token."""
    app = create_ops_app(settings, registry)
    given = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin", "Accept": "text/html", **(headers or {})}
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=given) as opened,
    ):
        if token:
            assert (await sign_in(opened, token)).status_code == 303
        yield opened


async def sign_in(client: httpx.AsyncClient, token: str, **fields: str) -> httpx.Response:
    return await client.post("/login", data={"token": token, "name": "Ann", **fields})


async def form_token(client: httpx.AsyncClient) -> str:
    return token_in(await client.get("/log"))


def token_in(page: httpx.Response) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def filled(path: str, letter_id: str = "none", group: str = "none", redrive_id: str = "none") -> str:
    """An address of a page, with these in its place holders."""
    return path.replace(":path", "").format(letter_id=letter_id, group=group, redrive_id=redrive_id)


def wait_in_retry(client: redis.Redis, settings: Settings, failure: Failure) -> RetryRecord:
    letter = a_letter(failure=failure)
    record = RetryRecord(
        event_id=letter.letter_id,
        task=TASK,
        queue=QUEUE,
        envelope=letter.envelope,
        attempts=(Attempt(number=1, at="2026-01-01T00:00:00Z", failure=failure),),
    )
    RetrySet(client, settings).add([(record, 60.0)])
    return record
