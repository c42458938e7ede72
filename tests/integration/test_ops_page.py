"""The operators' page over HTTP: who is let in, what is masked, what is escaped, and what acts do."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
import redis
from starlette.applications import Starlette
from starlette.routing import Mount

from bridge.embedded.server import EmbeddedServer, free_port
from bridge.gateway import create_app
from bridge.operations import log
from bridge.operations.letters import Letters
from bridge.operations.replay import Replays, ReplayState
from bridge.operations.selection import Selection
from bridge.ops import create_ops_app
from bridge.ops.app import PAGES
from bridge.ops.gate import COOKIE, SAFE_HEADERS
from bridge.ops.sessions import Role
from bridge.pipeline import Failure, Stage
from bridge.settings import Settings
from bridge.store import Attempt, RetryRecord, RetrySet, connect, keys
from tests.support.letters import QUEUE, TASK, a_failure, a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.processes import assert_sentence, run_cli, running_cli
from tests.support.waiting import wait_until

OPERATOR, VIEWER = "operator-token-0123", "viewer-token-01234"
ORIGIN = "http://ops"
HOSTILE = "<script>alert('owned')</script>"
SECRET = "tea-with-the-queen"
ACTS = [page.path for page in PAGES if page.method == "POST"]
VIEWS = [page.path for page in PAGES if page.method == "GET"]


@pytest.fixture
def ops_settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, ops_token=OPERATOR, ops_view_token=VIEWER)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as client:
        yield client


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


def filled(path: str, letter_id: str = "none", group: str = "none", replay_id: str = "none") -> str:
    """An address of a page, with these in its place holders."""
    return path.replace(":path", "").format(letter_id=letter_id, group=group, replay_id=replay_id)


# Who is let in


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
    assert Letters(client, ops_settings).count() == 1
    assert log.read(client)[0].who == "script (page)"


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
    replay_id = Replays(client, ops_settings, registry).begin(Selection())
    url = filled(path, letter_id=letter.letter_id, group=letter.group, replay_id=replay_id)
    async with browser(ops_settings, OPERATOR) as operator:
        answer = await operator.get(url)
    assert answer.status_code == 200
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?! type=\"module\" src=)", answer.text)
    assert not re.search(r"(?:src|href|action)=\"https?:", answer.text)


# What is masked


@pytest.mark.parametrize(
    ("token", "allowed", "shown"), [(OPERATOR, False, False), (OPERATOR, True, True), (VIEWER, True, False)]
)
async def test_contents_are_shown_to_operators_alone_and_only_if_the_settings_allow(
    ops_settings: Settings, client: redis.Redis, token: str, allowed: bool, shown: bool
) -> None:
    letter = a_letter(mode=SECRET)
    raw = a_letter(raw=f"no message: {SECRET}".encode())
    bury(client, ops_settings, [letter, raw])
    settings = msgspec.structs.replace(ops_settings, ops_payloads=allowed)
    async with browser(settings, token) as somebody:
        for one in (letter, raw):
            assert (SECRET in (await somebody.get(f"/dead/letters/{one.letter_id}")).text) is shown
        for path in ("/", "/dead", "/dead/groups", f"/dead/groups/{letter.group}", f"/trace?event={letter.letter_id}"):
            assert SECRET not in (await somebody.get(path)).text
        if token == OPERATOR:
            answer = await somebody.post("/replays/dry-run", data={"form_token": await form_token(somebody)})
            assert answer.status_code == 200
            assert SECRET not in answer.text


@pytest.mark.parametrize("path", ["/dead", "/dead/groups", "/dead/discard", "/replays/new", "/retries"])
async def test_masked_contents_cannot_be_found_out_by_searching(
    ops_settings: Settings, client: redis.Redis, path: str
) -> None:
    bury(client, ops_settings, [a_letter(mode=SECRET)])
    async with browser(ops_settings, OPERATOR) as operator:
        answer = await operator.get(path, params={"text": SECRET})
        assert answer.status_code == 400
        assert "masked" in answer.text
    async with browser(msgspec.structs.replace(ops_settings, ops_payloads=True), OPERATOR) as operator:
        assert (await operator.get(path, params={"text": SECRET})).status_code == 200


# What is escaped


async def test_hostile_text_is_shown_as_text_on_every_page(ops_settings: Settings, client: redis.Redis) -> None:
    failure = Failure(stage=Stage.EXTRACT, error_class=HOSTILE, message=HOSTILE, traceback=HOSTILE)
    letter = msgspec.structs.replace(
        a_letter(failure=failure, mode=HOSTILE), worker=HOSTILE, release=HOSTILE, queue=HOSTILE, user_id=HOSTILE
    )
    odd = a_letter(letter_id="'\"><script>x</script>", failure=failure, task=HOSTILE, raw=HOSTILE.encode())
    bury(client, ops_settings, [letter, odd])
    log.append(client, log.LogEntry(who=HOSTILE, action=HOSTILE, selection=HOSTILE, reason=HOSTILE))
    replay_id = Replays(client, ops_settings, registry).begin(Selection(), who=HOSTILE)
    Replays(client, ops_settings, registry).set_state(replay_id, ReplayState.STOPPED, HOSTILE)
    client.hset(keys.PRODUCERS, "x", msgspec.json.encode({"host": HOSTILE, "pid": 7}))
    wait_in_retry(client, ops_settings, failure)
    settings = msgspec.structs.replace(ops_settings, ops_payloads=True)
    async with browser(settings, OPERATOR) as operator:
        await sign_in(operator, OPERATOR, name=HOSTILE)
        for path in VIEWS:
            for one in (letter, odd):
                quoted = httpx.URL("/").copy_with(path="/" + one.letter_id).raw_path.decode()[1:]
                url = filled(path, letter_id=quoted, group=one.group, replay_id=replay_id)
                answer = await operator.get(url)
                assert answer.status_code == 200, url
                assert "<script>" not in answer.text, url
        for url, fields in (
            ("/dead", {"type": HOSTILE}),
            ("/dead", {"group": HOSTILE}),
            ("/dead", {"text": HOSTILE}),
            ("/dead", {"after": HOSTILE}),
            ("/dead", {"note": HOSTILE, "n": HOSTILE}),
            ("/dead", {"note": "discarded", "n": "٣"}),
            ("/retries", {"error": HOSTILE}),
            ("/replays/new", {"id": HOSTILE}),
            ("/trace", {"event": HOSTILE}),
            ("/trace", {"event": letter.letter_id, "user": HOSTILE}),
            (f"/dead/groups/{HOSTILE.replace('/', '%2F')}", {}),
            ("/login", {"next": HOSTILE}),
        ):
            answer = await operator.get(url, params=fields)
            assert answer.status_code in (200, 400, 404), url
            assert "<script>" not in answer.text, url


async def test_an_address_cannot_put_words_into_the_pages_mouth(ops_settings: Settings) -> None:
    async with browser(ops_settings, VIEWER) as viewer:
        text = (await viewer.get("/dead", params={"note": "call 555 now", "n": "666"})).text
        assert "555" not in text
        assert "666" not in text


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


# What acts do


async def test_retries_are_made_due_and_buried_with_a_reason(ops_settings: Settings, client: redis.Redis) -> None:
    first, second = (wait_in_retry(client, ops_settings, a_failure()) for _ in range(2))
    async with browser(ops_settings, OPERATOR) as operator:
        token = await form_token(operator)
        assert first.event_id in (await operator.get("/retries")).text
        answer = await operator.post("/retries/now", data={"form_token": token, "id": first.event_id})
        assert answer.headers["Location"] == "/retries?note=due&n=1&n=0"
        assert client.zscore(keys.RETRY_DUE, first.event_id) <= time.time() * 1000
        assert (await operator.post("/retries/cancel", data={"form_token": token})).status_code == 400
        data = {"form_token": token, "id": second.event_id, "reason": "gone"}
        answer = await operator.post("/retries/cancel", data=data)
        assert "Buried as dead letters: 1." in (await operator.get(answer.headers["Location"])).text
    assert Letters(client, ops_settings).show(second.event_id) is not None
    assert [(entry.who, entry.action, entry.reason) for entry in log.read(client)] == [
        ("Ann (page)", "retries.cancel", "gone"),
        ("Ann (page)", "retries.now", ""),
    ]


async def test_discarding_leaves_what_was_buried_after_one_looked(ops_settings: Settings, client: redis.Redis) -> None:
    old, new = a_letter(), a_letter()
    bury(client, ops_settings, [old])
    async with browser(ops_settings, OPERATOR) as operator:
        page = await operator.get("/dead/discard")
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', page.text))
        assert "until" in fields
        looked_ms = time.time_ns() // 1_000_000
        wait_until(lambda: time.time_ns() // 1_000_000 > looked_ms, what="the clock has moved")
        bury(client, ops_settings, [new])
        answer = await operator.post("/dead/discard", data={**fields, "reason": "stale"})
        assert answer.headers["Location"] == "/dead?note=discarded&n=1&n=0"
        gone = await operator.get(f"/dead/letters/{old.letter_id}")
        assert (gone.status_code, "Ann (page) discarded it at" in gone.text) == (404, True)
    assert list(Letters(client, ops_settings).ids(Selection())) == [new.letter_id]


async def test_pages_of_the_list_stay_in_place_while_letters_come(ops_settings: Settings, client: redis.Redis) -> None:
    letters = [a_letter() for _ in range(120)]
    bury(client, ops_settings, letters)
    seen: list[str] = []
    async with browser(ops_settings, VIEWER) as viewer:
        url: str | None = "/dead?type=Moody"
        while url:
            text = (await viewer.get(url)).text
            seen += re.findall(r'href="/dead/letters/([^"]+)"', text)
            bury(client, ops_settings, [a_letter()])
            found = re.search(r'rel="next" href="([^"]+)"', text)
            url = found[1].replace("&amp;", "&") if found else None
    assert sorted(seen) == sorted(letter.letter_id for letter in letters)


async def test_a_letter_that_this_release_cannot_read_is_shown(ops_settings: Settings, client: redis.Redis) -> None:
    letter = a_letter()
    bury(client, ops_settings, [letter])
    client.hset(keys.DEAD_LETTERS, letter.letter_id, b'{"letter_id": 7')
    async with browser(ops_settings, VIEWER) as viewer:
        for path in ("/dead", f"/dead/letters/{letter.letter_id}"):
            answer = await viewer.get(path)
            assert (answer.status_code, "cannot be read" in answer.text) == (200, True)
        unknown = await viewer.get("/trace?event=01a1fb9f-d28b-7f1d-8052-642667ab2557")
        assert (unknown.status_code, "It is unknown" in unknown.text) == (200, True)
    shown = run_cli("dead", "show", letter.letter_id, environment={"BRIDGE_BROKER_URL": ops_settings.broker_url})
    assert (shown.returncode, "cannot be read" in shown.stdout) == (0, True), shown.stderr


async def test_a_replay_that_nobody_runs_can_be_resumed_here(ops_settings: Settings, client: redis.Redis) -> None:
    replays = Replays(client, ops_settings, registry)
    replay_id = replays.begin(Selection())
    async with browser(ops_settings, OPERATOR) as operator:
        page = await operator.get(f"/replays/{replay_id}")
        assert "no process runs it" in page.text
        answer = await operator.post(f"/replays/{replay_id}/resume", data={"form_token": token_in(page)})
        assert answer.status_code == 303
        wait_until(lambda: replays.known(replay_id).state is ReplayState.DONE, what="the empty replay is done")
        again = await operator.post(f"/replays/{replay_id}/resume", data={"form_token": token_in(page)})
        assert (again.status_code, "is done" in again.text) == (409, True)
        assert (await operator.post("/replays/none/stop", data={"form_token": token_in(page)})).status_code == 409


async def test_a_replay_pauses_when_its_process_ends_and_no_second_process_takes_it(
    ops_settings: Settings, client: redis.Redis
) -> None:
    bury(client, ops_settings, [a_letter() for _ in range(20)])
    replays = Replays(client, ops_settings, registry)
    async with browser(ops_settings, OPERATOR) as operator:
        token = await form_token(operator)
        answer = await operator.post("/replays", data={"form_token": token, "canary": "1", "rate": "5"})
        replay_id = answer.headers["Location"].rpartition("/")[2]
        wait_until(lambda: replays.known(replay_id).sent, what="the canary is out")
        async with browser(ops_settings, OPERATOR) as second:
            data = {"form_token": await form_token(second)}
            refused = await second.post(f"/replays/{replay_id}/resume", data=data)
            assert (refused.status_code, "is being run by" in refused.text) == (409, True)
    status = replays.known(replay_id)
    assert (status.state, status.owner, status.who) == (ReplayState.PAUSED, "", "Ann (page)")
    assert status.pending == 19


@pytest.mark.parametrize("fields", [{"rate": "0"}, {"rate": "x"}, {"canary": "-1"}, {"max_failures": "101"}])
async def test_a_replay_with_wrong_numbers_is_not_begun(ops_settings: Settings, fields: dict[str, str]) -> None:
    async with browser(ops_settings, OPERATOR) as operator:
        answer = await operator.post("/replays", data={"form_token": await form_token(operator), **fields})
        assert answer.status_code == 400
    with connect(ops_settings) as client:
        assert not client.exists(keys.REPLAYS)


# Live


async def test_the_stream_sends_parts_in_our_own_frames_and_ends_with_the_process(
    ops_settings: Settings, client: redis.Redis
) -> None:
    bury(client, ops_settings, [a_letter()])
    async with browser(ops_settings, VIEWER) as viewer:
        transport = viewer._transport
        assert isinstance(transport, httpx.ASGITransport)
        streams = transport.app.state.streams  # type: ignore[attr-defined]
        asking = asyncio.create_task(viewer.get("/stream"))  # the transport answers when the stream has ended
        deadline = time.monotonic() + 10
        while not streams.open_now:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        streams.end()
        answer = await asyncio.wait_for(asking, 10)
        assert streams.open_now == 0
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    frame = next(frame for frame in answer.text.split("\n\n") if "event: ops.parts" in frame)
    parts = msgspec.json.decode(frame.partition("data: ")[2], type=dict[str, str])
    assert "no such mood" in parts["live-groups"]
    assert set(parts) >= {"live-health", "live-figures", "live-queues"}


async def test_without_redis_pages_say_so(ops_settings: Settings) -> None:
    away = msgspec.structs.replace(ops_settings, broker_url="redis://127.0.0.1:1/0")
    async with browser(away, OPERATOR) as operator:
        answer = await operator.get("/")
        assert (answer.status_code, "Redis does not answer" in answer.text) == (200, True)
        answer = await operator.get("/dead")
        assert (answer.status_code, "Redis did not take the command" in answer.text) == (503, True)


# Where it lives


async def test_without_a_token_there_is_no_page(settings: Settings) -> None:
    async with browser(settings) as client:
        for path in ("/", "/login", "/dead", "/stream", "/static/ops.css"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/metrics")).status_code == 200


async def test_metrics_and_health_need_no_token_and_show_no_contents(
    ops_settings: Settings, client: redis.Redis
) -> None:
    bury(client, ops_settings, [a_letter(mode=SECRET)])
    async with browser(ops_settings) as stranger:
        for path in ("/metrics", "/health/ready", "/health/live"):
            answer = await stranger.get(path)
            assert answer.status_code in (200, 503)
            assert SECRET not in answer.text


async def test_it_can_be_mounted_beside_the_gateway(ops_settings: Settings, client: redis.Redis) -> None:
    letter = a_letter()
    bury(client, ops_settings, [letter])
    settings = msgspec.structs.replace(ops_settings, gateway_dev=True)
    gateway, page = create_app(settings, registry), create_ops_app(settings, registry)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with gateway.router.lifespan_context(gateway), page.router.lifespan_context(page):
            yield

    app = Starlette(routes=[Mount("/ops", page), Mount("/", gateway)], lifespan=lifespan)
    headers = {"Origin": ORIGIN, "Accept": "text/html"}
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as browser:
            assert (await browser.get("/health/live")).status_code == 200
            first = await browser.get("/ops/dead")
            assert first.headers["Location"] == "/ops/login?next=%2Fdead"
            signed = await browser.post("/ops/login", data={"token": OPERATOR, "next": "/dead"})
            assert signed.headers["Location"] == "/ops/dead"
            assert "Path=/ops" in signed.headers["Set-Cookie"]
            text = (await browser.get("/ops/dead")).text
            assert f"/ops/dead/letters/{letter.letter_id}" in text
            assert not re.search(r'(?:href|src|action)="/(?!ops)', text)


# The command


def test_the_command_wants_a_token_and_says_how_to_make_one(redis_url: str) -> None:
    answer = run_cli("ops", environment={"BRIDGE_BROKER_URL": redis_url})
    assert_sentence(answer, "needs a token", "BRIDGE_OPS_TOKEN=$(openssl rand -hex 32)", code=2)


def test_the_command_listens_on_loopback_and_ends_at_once_while_somebody_watches(
    redis_server: EmbeddedServer, tmp_path
) -> None:
    port = free_port()
    environment = {"BRIDGE_BROKER_URL": redis_server.url, "BRIDGE_OPS_TOKEN": OPERATOR, "BRIDGE_OPS_PORT": str(port)}
    with running_cli(tmp_path, "ops", environment=environment) as command:
        command.wait_for(f"http://127.0.0.1:{port}/")
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            wait_until(lambda: answers(client), what="the page answers")
            with client.stream("GET", "/stream") as stream:
                lines = stream.iter_lines()
                assert next(lines).startswith("retry:")
                assert command.end(timeout_s=4) == 130
    assert "Traceback" not in command.output
    assert OPERATOR not in command.output
    taken = run_cli("ops", "--host", "no-such-host.invalid", environment=environment)
    assert_sentence(taken, "BRIDGE_OPS_HOST or --host", code=1)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False
