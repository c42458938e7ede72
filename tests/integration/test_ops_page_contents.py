"""The operators' page over HTTP: what is masked, and what is escaped."""

import dataclasses
from urllib.parse import quote

import httpx
import msgspec
import pytest
import redis

from bridge.model.log_entry import LogEntry
from bridge.model.pipeline import Failure, Stage
from bridge.model.redrive import RedriveState
from bridge.operations.redrive import Redrives
from bridge.operations.selection import Selection
from bridge.redis_adapter import OperationsLog
from bridge.redis_adapter.task_queue import QueueNames
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support import keys
from tests.support.letters import a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.ops_page import OPERATOR, SECRET, VIEWER, VIEWS, browser, filled, form_token, sign_in, wait_in_retry

UNSEEN = "\x1b[31m\u202egnp.exe\u202c\x00\x9b"
HOSTILE = f"<script>alert('owned')</script>{UNSEEN}"


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
    settings = dataclasses.replace(ops_settings, ops_payloads=allowed)
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
    async with browser(dataclasses.replace(ops_settings, ops_payloads=True), OPERATOR) as operator:
        assert (await operator.get(path, params={"text": SECRET})).status_code == 200


# What can be chosen


@pytest.mark.parametrize("path", ["/dead", "/retries"])
async def test_categories_of_older_catalogs_can_be_chosen(
    ops_settings: Settings, client: redis.Redis, path: str
) -> None:
    stranded = msgspec.structs.replace(a_letter(), queue="bridge.olden")
    bury(client, ops_settings, [stranded])
    QueueNames(client).note(["bridge.noted"])
    async with browser(ops_settings, VIEWER) as viewer:
        page = (await viewer.get(path)).text
        for category in ("moods", "news", "olden", "noted"):
            assert f"<option>{category}</option>" in page
        chosen = await viewer.get("/dead", params={"category": "olden"})
        assert "<option selected>olden</option>" in chosen.text
        assert stranded.letter_id in chosen.text


# What is escaped


async def test_hostile_text_is_shown_as_text_on_every_page(ops_settings: Settings, client: redis.Redis) -> None:
    failure = Failure(stage=Stage.EXTRACT, error_class=HOSTILE, message=HOSTILE, traceback=HOSTILE)
    letter = msgspec.structs.replace(
        a_letter(failure=failure, mode=HOSTILE),
        worker=HOSTILE,
        release=HOSTILE,
        queue=HOSTILE,
        addresses=(f"user:{HOSTILE}",),
    )
    odd = a_letter(letter_id="'\"><script>x</script>", failure=failure, task=HOSTILE, raw=HOSTILE.encode())
    bury(client, ops_settings, [letter, odd])
    OperationsLog(client).append(LogEntry(who=HOSTILE, action=HOSTILE, selection=HOSTILE, reason=HOSTILE))
    redrive_id = Redrives(store_of(client, ops_settings), ops_settings, registry).begin(Selection(), who=HOSTILE)
    store_of(client, ops_settings).redrives.job(redrive_id).move_to(RedriveState.STOPPED, HOSTILE)
    client.hset(keys.PRODUCERS, "x", msgspec.json.encode({"host": HOSTILE, "pid": 7}))
    wait_in_retry(client, ops_settings, failure)
    settings = dataclasses.replace(ops_settings, ops_payloads=True)
    async with browser(settings, OPERATOR) as operator:
        await sign_in(operator, OPERATOR, name=HOSTILE)
        for path in VIEWS:
            for one in (letter, odd):
                quoted = httpx.URL("/").copy_with(path="/" + one.letter_id).raw_path.decode()[1:]
                url = filled(path, letter_id=quoted, group=one.group, redrive_id=redrive_id)
                answer = await operator.get(url)
                assert answer.status_code == 200, url
                assert "<script>" not in answer.text, url
                assert not set(UNSEEN) & set(answer.text) - set("[31mgnp.exe"), url
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
            ("/trace", {"event": letter.letter_id, "address": HOSTILE}),
            (f"/dead/groups/{quote(HOSTILE, safe='')}", {}),
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
