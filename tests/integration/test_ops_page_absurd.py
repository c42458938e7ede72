"""Absurd values in every field of every operators' page: an answer in words, and never a failure of ours."""

from collections.abc import Iterable
from itertools import product
from urllib.parse import quote

import pytest
import redis

from bridge.ops.access_control import Page
from bridge.ops.asgi import PAGES
from bridge.settings import Settings
from tests.support.absurd import ABSURD
from tests.support.letters import a_letter, bury
from tests.support.ops_page import OPERATOR, browser, filled, form_token

FIELDS = (
    "type", "category", "user", "address", "error", "stage", "group", "id", "since", "until", "text", "after",
    "n", "event", "rate", "canary", "max_failures", "reason",
)  # fmt: skip
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


NAMES = [f"{page.method} {page.path}" for page in PAGES]
ALL = list(product(FIELDS, ABSURD))
SHARE = 13
"""Each page is given one in so many of all combinations; together they are given all, and more than once."""


async def _assert_answers_in_words(settings: Settings, page: Page, given: Iterable[tuple[str, str]]) -> None:
    async with browser(settings, OPERATOR) as operator:
        token = await form_token(operator)
        for name, value in given:
            fields = f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}"
            if page.method == "GET":
                answer = await operator.get(f"{filled(page.path)}?note=discarded&{fields}")
            else:
                content = f"form_token={token}&{fields}" + ("" if name == "reason" else "&reason=x")
                answer = await operator.post(filled(page.path), content=content, headers=FORM)
            assert answer.status_code < 500, (name, value[:40])
            assert answer.status_code < 400 or "<p" in answer.text


@pytest.mark.parametrize("number", range(len(PAGES)), ids=NAMES.__getitem__)
async def test_a_page_answers_absurd_fields_in_words(ops_settings: Settings, client: redis.Redis, number: int) -> None:
    bury(client, ops_settings, [a_letter()])
    await _assert_answers_in_words(ops_settings, PAGES[number], ALL[number % SHARE :: SHARE])


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
async def test_each_page_answers_each_absurd_field(ops_settings: Settings, client: redis.Redis, page: Page) -> None:
    bury(client, ops_settings, [a_letter()])
    await _assert_answers_in_words(ops_settings, page, ALL)


@pytest.mark.parametrize("page", [page for page in PAGES if "{" in page.path], ids=lambda page: page.path)
async def test_a_path_that_names_nothing_is_answered_in_words(ops_settings: Settings, page: Page) -> None:
    async with browser(ops_settings, OPERATOR) as operator:
        token = await form_token(operator)
        for value in ABSURD:
            name = quote(value.encode("utf-8", "surrogatepass"), safe="")
            url = filled(page.path, letter_id=name, group=name, redrive_id=name)
            answer = await operator.request(page.method, url, content=f"form_token={token}", headers=FORM)
            assert 400 <= answer.status_code < 500, (value[:40], answer.status_code)


async def test_a_time_so_long_ago_means_the_beginning(ops_settings: Settings, client: redis.Redis) -> None:
    letter = a_letter()
    bury(client, ops_settings, [letter])
    async with browser(ops_settings, OPERATOR) as operator:
        assert letter.letter_id in (await operator.get("/dead?since=99999999d")).text
        refused = await operator.get("/dead?since=99999999999999999999d")
        assert (refused.status_code, "is no time" in refused.text) == (400, True)


HEADERS = ("Accept", "Authorization", "Cookie", "Content-Type", "Origin", "Sec-Fetch-Site", "Host", "X-Forwarded-Proto")
ODD_HEADERS = (
    "http://[", "http://[::1", "http://a]b", "//", "application/openmetrics-text; version=x;",
    "application/openmetrics-text; version=", "text/plain;escaping=;;=", ";;;", "a/b;q=nan", "=", "Bearer",
)  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
async def test_absurd_headers_are_answered_in_words(ops_settings: Settings, name: str) -> None:
    values = [value for value in (*ABSURD, *ODD_HEADERS) if not set("\r\n\x00") & set(value)]
    async with browser(ops_settings, OPERATOR) as operator:
        for value in values:
            given = {**FORM, name: value.encode("utf-8", "replace")}
            for path in ("/metrics", "/health/live", "/"):
                answer = await operator.get(path, headers=given)  # type: ignore[arg-type]
                assert answer.status_code < 500, (path, value[:40])
            for path in ("/login", "/logout", "/dead/discard"):
                answer = await operator.post(path, content="token=x&name=y", headers=given)  # type: ignore[arg-type]
                assert answer.status_code < 500, (path, value[:40])
