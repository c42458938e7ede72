"""The operators' page over HTTP: who is let in, and what nobody can do without token, role and form."""

import re

import httpx
import pytest
import redis

from bridge.operations.redrive import Redrives
from bridge.operations.selection import Selection
from bridge.ops import create_ops_app
from bridge.ops.access_control import COOKIE, SAFE_HEADERS
from bridge.ops.asgi import PAGES
from bridge.ops.sessions import Role
from bridge.redis_adapter import OperationsLog
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support.letters import a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.ops_page import ACTS, OPERATOR, ORIGIN, VIEWER, VIEWS, browser, filled, form_token, sign_in


@pytest.mark.parametrize("path", [*VIEWS, "/stream"])
async def test_nobody_sees_a_page_without_a_session(ops_settings: Settings, path: str) -> None:
    async with browser(ops_settings) as client:
        answer = await client.get(filled(path))
        assert answer.status_code == (401 if path == "/stream" else 303)
        assert path == "/stream" or answer.headers["Location"].startswith("/login?next=%2F")
        bare = await client.get(filled(path), headers={"Accept": "*/*"})
        assert bare.status_code == 401


@pytest.mark.parametrize("path", [*ACTS, "/logout"])
async def test_nothing_is_done_without_session_form_token_role_and_our_own_origin(
    ops_settings: Settings, path: str, client: redis.Redis
) -> None:
    bury(client, ops_settings, [a_letter()])
    before = {key: client.dump(key) for key in client.scan_iter()}
    data = {"reason": "because"}
    url = filled(path)
    async with browser(ops_settings) as stranger:
        assert (await stranger.post(url, data=data)).status_code == 401
        forged = {COOKIE: "e30=.AAAA"}
        stranger.cookies.update(forged)
        assert (await stranger.post(url, data=data)).status_code == 401
    async with browser(ops_settings, OPERATOR) as operator:
        token = await form_token(operator)
        for wrong in ({}, {"form_token": ""}, {"form_token": token[:-2] + "AA"}):
            assert (await operator.post(url, data={**data, **wrong})).status_code == 403, wrong
        for headers in (
            {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
            {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
            {"Sec-Fetch-Site": "none"},
        ):
            answer = await operator.post(url, data={**data, "form_token": token}, headers=headers)
            assert answer.status_code == 403, headers
        for name in ("Origin", "Sec-Fetch-Site"):
            del operator.headers[name]
        assert (await operator.post(url, data={**data, "form_token": token})).status_code == 403
        for origin in ("http://evil.example", "null", "http://ops.evil.example", "garbage"):
            answer = await operator.post(url, data={**data, "form_token": token}, headers={"Origin": origin})
            assert answer.status_code == 403, origin
    if path != "/logout":
        async with browser(ops_settings, VIEWER) as viewer:
            answer = await viewer.post(url, data={**data, "form_token": await form_token(viewer)})
            assert answer.status_code == 403
            assert "look, but not act" in answer.text
    assert {key: client.dump(key) for key in client.scan_iter()} == before


def test_every_act_needs_the_operators_role_and_no_view_acts() -> None:
    assert {page.role for page in PAGES if page.method == "POST"} == {Role.OPERATOR}
    assert {page.method for page in PAGES} == {"GET", "POST"}


@pytest.mark.parametrize("path", VIEWS)
async def test_a_viewer_sees_every_page_but_those_that_prepare_an_act(ops_settings: Settings, path: str) -> None:
    role = next(page.role for page in PAGES if page.path == path and page.method == "GET")
    async with browser(ops_settings, VIEWER) as viewer:
        answer = await viewer.get(filled(path))
        assert answer.status_code == (403 if role is Role.OPERATOR else 404 if "{" in path else 200)


async def test_a_page_offers_a_viewer_no_act(ops_settings: Settings, client: redis.Redis) -> None:
    letter = a_letter()
    bury(client, ops_settings, [letter])
    async with browser(ops_settings, VIEWER) as viewer:
        for path in ("/dead", f"/dead/letters/{letter.letter_id}", f"/dead/groups/{letter.group}", "/replays"):
            text = (await viewer.get(path)).text
            assert "/replays/new" not in text
            assert "/discard" not in text


async def test_signing_in_gives_a_strict_cookie_and_signing_out_takes_it(ops_settings: Settings) -> None:
    async with browser(ops_settings) as client:
        answer = await sign_in(client, OPERATOR, next="/dead?since=2h")
        assert answer.headers["Location"] == "/dead?since=2h"
        cookie = answer.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
        assert OPERATOR not in cookie
        left = await client.post("/logout", data={"form_token": await form_token(client)})
        assert (left.status_code, left.headers["Location"]) == (303, "/login")
        assert (await client.get("/")).status_code == 303


async def test_a_cookie_is_secure_behind_https(ops_settings: Settings) -> None:
    app = create_ops_app(ops_settings, registry)
    headers = {"Origin": "https://ops.example"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="https://ops.example", headers=headers
    ) as client:
        assert "Secure" in (await sign_in(client, OPERATOR)).headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("told", "secure"), [("https", True), ("HTTPS , http", True), ("http, https", False), ("", False), (",", False)]
)
async def test_a_cookie_is_secure_if_the_first_proxy_was_reached_by_https(
    ops_settings: Settings, told: str, secure: bool
) -> None:
    async with browser(ops_settings, headers={"X-Forwarded-Proto": told}) as client:
        assert ("Secure" in (await sign_in(client, OPERATOR)).headers["Set-Cookie"]) == secure


async def test_signing_in_from_another_site_is_refused(ops_settings: Settings) -> None:
    async with browser(ops_settings, headers={"Origin": "http://evil.example"}) as client:
        answer = await sign_in(client, OPERATOR)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers


async def test_guessing_is_slowed_down_for_forms_and_scripts_alike(ops_settings: Settings) -> None:
    async with browser(ops_settings, OPERATOR) as client:
        for _ in range(5):
            answer = await sign_in(client, "wrong")
            assert (answer.status_code, "not right" in answer.text) == (401, True)
        right = await sign_in(client, OPERATOR)
        assert right.status_code == 429, "a right one waits too, or guessing would go on"
        assert int(right.headers["Retry-After"]) >= 1
        assert (await client.get("/", headers={"Authorization": f"Bearer {OPERATOR}"})).status_code == 429
        assert (await client.get("/")).status_code == 200, "whoever is signed in goes on"


async def test_a_script_needs_the_bearer_token_alone(ops_settings: Settings, client: redis.Redis) -> None:
    letters = [a_letter(), a_letter()]
    bury(client, ops_settings, letters)
    app = create_ops_app(ops_settings, registry)
    data = {"id": letters[0].letter_id, "reason": "stale"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN) as script:
        for token, status in ((VIEWER, 403), ("wrong", 401), (OPERATOR, 303)):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await script.post("/dead/discard", data=data, headers=headers)).status_code == status
        headers = {"Authorization": f"Bearer {OPERATOR}", "Origin": "http://evil.example"}
        assert (await script.post("/dead/discard", data=data, headers=headers)).status_code == 403
    assert store_of(client, ops_settings).dead_letters.count() == 1
    assert OperationsLog(client).newest()[0].who == "script (page)"


async def test_a_form_too_large_or_of_another_kind_is_refused(ops_settings: Settings) -> None:
    async with browser(ops_settings) as client:
        assert (await client.post("/login", data={"token": "x" * 70_000})).status_code == 413
        assert (await client.post("/login", json={"token": OPERATOR})).status_code == 415


@pytest.mark.parametrize(
    "path", ["/", "/login", "/dead", "/replays/none", "/static/live.js", "/static/none", "/stream?x"]
)
async def test_every_answer_carries_safe_headers(ops_settings: Settings, path: str) -> None:
    async with browser(ops_settings) as stranger:
        answers = [await stranger.get(path), await stranger.post("/login", data={"token": "wrong"})]
        if not path.startswith("/stream"):
            await sign_in(stranger, OPERATOR)
            answers.append(await stranger.get(path))
    for answer in answers:
        # Style and script are the same for everybody, so that a browser may keep them if it asks again.
        kept = {"Cache-Control": "no-cache"} if answer.url.path == "/static/live.js" else {}
        assert {name: answer.headers[name] for name in SAFE_HEADERS} == {**SAFE_HEADERS, **kept}, answer.url


@pytest.mark.parametrize("path", VIEWS)
async def test_no_page_has_an_inline_script_or_style(ops_settings: Settings, client: redis.Redis, path: str) -> None:
    letter = a_letter()
    bury(client, ops_settings, [letter])
    redrive_id = Redrives(store_of(client, ops_settings), ops_settings, registry).begin(Selection())
    url = filled(path, letter_id=letter.letter_id, group=letter.group, redrive_id=redrive_id)
    async with browser(ops_settings, OPERATOR) as operator:
        answer = await operator.get(url)
    assert answer.status_code == 200
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?! type=\"module\" src=)", answer.text)
    assert not re.search(r"(?:src|href|action)=\"https?:", answer.text)
