"""What the gateway answers before, or instead of, a stream: tokens, categories, methods, origins, health."""

import dataclasses
from uuid import UUID, uuid4

import httpx
import pytest

from bridge.settings import Settings
from tests.support.streams import SECRET, Served, Source, Stream, token


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "A token is needed"),
        (".", "not valid"),
        ("nonsense", "not valid"),
        ("a.b.c", "not valid"),
        ("x" * 9000, "longer than"),
        (token(uuid4(), ttl_s=-10), "expired"),
        (token(uuid4(), secret="another secret of thirty-two bytes"), "not valid"),
        (token(uuid4(), exp=None), "lacks the claim 'exp'"),
        (token(uuid4(), sub=None), "lacks the claim 'sub'"),
        (token("None"), "no UUID"),
        (token("*"), "no UUID"),
    ],
)
async def test_401_before_any_stream_byte(given: str | None, words: str, served: Served) -> None:
    headers = {} if given is None else {"Authorization": f"Bearer {given}"}
    async with httpx.AsyncClient() as client:
        response = await client.get(served.url + "/api/v1/events", headers=headers)
        assert response.status_code == 401
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert words in response.json()["detail"]
        assert given is None or len(given) < 9 or given not in response.text
    assert served.state.subscriptions.channels == ("sse:broadcast",)


async def test_a_token_in_the_address_is_not_taken_but_the_cookie_is(
    served: Served, browser: httpx.AsyncClient, user: UUID
) -> None:
    stream = Stream(served.url, user, path=f"?token={token(user)}&access_token={token(user)}", Authorization="")
    await stream.open(browser, live=False)
    assert stream.response is not None and stream.response.status_code == 401
    cookie = await Stream(served.url, user, Authorization="", Cookie=f"access_token={token(user)}").open(browser)
    await cookie.close()


async def test_an_unknown_category_gets_422_with_the_known_ones(
    served: Served, browser: httpx.AsyncClient, user: UUID
) -> None:
    stream = await Stream(served.url, user, path="?categories=import,nonsense").open(browser, live=False)
    await stream.until(lambda: stream.ended)
    assert stream.response is not None and stream.response.status_code == 422
    assert stream.response.json()["unknown"] == ["nonsense"]
    assert "data_sync" in stream.response.json()["known"]
    assert not served.state.sessions


async def test_head_and_other_methods(served: Served, browser: httpx.AsyncClient, user: UUID) -> None:
    headers = {"Authorization": f"Bearer {token(user)}"}
    head = await browser.head(served.url + "/api/v1/events", headers=headers)
    assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    post = await browser.post(served.url + "/api/v1/events", headers=headers)
    assert post.status_code == 405 and "GET" in post.headers["allow"]
    assert (await browser.get(served.url + "/nowhere")).status_code == 404
    assert served.state.counters.streams_opened == 0


async def test_cors_is_for_the_origins_named_only(settings: Settings, browser: httpx.AsyncClient, user: UUID) -> None:
    with Served(dataclasses.replace(settings, gateway_cors_origins="https://app.example")) as served:
        url = served.url + "/api/v1/events"
        named = await browser.get(url, headers={"Origin": "https://app.example"})
        assert named.headers["access-control-allow-origin"] == "https://app.example"
        assert named.headers["access-control-allow-credentials"] == "true"
        other = await browser.get(url, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        stream = await Stream(served.url, user, Origin="https://app.example").open(browser)
        assert stream.response is not None
        assert stream.response.headers["access-control-allow-origin"] == "https://app.example"
        await stream.close()


async def test_development_mode_takes_the_user_from_the_address_and_refuses_foreign_names(
    settings: Settings, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, jwt_secret="", gateway_dev=True)) as served:
        stream = await Stream(served.url, user, path=f"?user_id={user}", Authorization="").open(browser)
        await stream.receives(source.publish(user))
        await stream.close()
        url = served.url + f"/api/v1/events?user_id={user}"
        rebound = await browser.get(url, headers={"Host": "evil.example"})
        assert rebound.status_code == 403
        assert (await browser.get(served.url + "/api/v1/events")).status_code == 422
        assert (await browser.get(served.url + "/api/v1/events?user_id=None")).status_code == 422
        proxied = await browser.get(url, headers={"X-Forwarded-For": "203.0.113.9"})
        assert proxied.status_code == 403


async def test_health_says_whether_clients_are_served(served: Served, browser: httpx.AsyncClient) -> None:
    assert (await browser.get(served.url + "/health/live")).json() == {"status": "live"}
    ready = await browser.get(served.url + "/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "redis": True, "subscribed": True, "draining": False, "clients": 0}
