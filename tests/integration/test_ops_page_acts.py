"""The operators' page over HTTP: what acts do, and what lists and causes show."""

import re
import time
from uuid import UUID

import pytest
import redis

from bridge.model.redrive import RedriveState
from bridge.operations.letters import Letters
from bridge.operations.redrive import Redrives
from bridge.operations.selection import Selection
from bridge.redis_adapter import OperationsLog, connect
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support import keys
from tests.support.letters import a_failure, a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.ops_page import OPERATOR, VIEWER, browser, form_token, token_in, wait_in_retry
from tests.support.processes import run_cli
from tests.support.waiting import wait_until


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
    assert store_of(client, ops_settings).kept.look_up(second.event_id).letter is not None
    assert [(entry.who, entry.action, entry.reason) for entry in OperationsLog(client).newest()] == [
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
    assert list(Letters(store_of(client, ops_settings)).ids(Selection())) == [new.letter_id]


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
    replays = Redrives(store_of(client, ops_settings), ops_settings, registry)
    redrive_id = replays.begin(Selection())
    async with browser(ops_settings, OPERATOR) as operator:
        page = await operator.get(f"/replays/{redrive_id}")
        assert "no process runs it" in page.text
        answer = await operator.post(f"/replays/{redrive_id}/resume", data={"form_token": token_in(page)})
        assert answer.status_code == 303
        wait_until(lambda: replays.known(redrive_id).state is RedriveState.DONE, what="the empty replay is done")
        again = await operator.post(f"/replays/{redrive_id}/resume", data={"form_token": token_in(page)})
        assert (again.status_code, "is done" in again.text) == (409, True)
        assert (await operator.post("/replays/none/stop", data={"form_token": token_in(page)})).status_code == 409


async def test_a_replay_pauses_when_its_process_ends_and_no_second_process_takes_it(
    ops_settings: Settings, client: redis.Redis
) -> None:
    bury(client, ops_settings, [a_letter() for _ in range(20)])
    replays = Redrives(store_of(client, ops_settings), ops_settings, registry)
    async with browser(ops_settings, OPERATOR) as operator:
        token = await form_token(operator)
        answer = await operator.post("/replays", data={"form_token": token, "canary": "1", "rate": "5"})
        redrive_id = answer.headers["Location"].rpartition("/")[2]
        wait_until(lambda: replays.known(redrive_id).sent, what="the canary is out")
        async with browser(ops_settings, OPERATOR) as second:
            data = {"form_token": await form_token(second)}
            refused = await second.post(f"/replays/{redrive_id}/resume", data=data)
            assert (refused.status_code, "is being run by" in refused.text) == (409, True)
    status = replays.known(redrive_id)
    assert (status.state, status.owner, status.who) == (RedriveState.PAUSED, "", "Ann (page)")
    assert status.pending == 19


@pytest.mark.parametrize("fields", [{"rate": "0"}, {"rate": "x"}, {"canary": "-1"}, {"max_failures": "101"}])
async def test_a_replay_with_wrong_numbers_is_not_begun(ops_settings: Settings, fields: dict[str, str]) -> None:
    async with browser(ops_settings, OPERATOR) as operator:
        answer = await operator.post("/replays", data={"form_token": await form_token(operator), **fields})
        assert answer.status_code == 400
    with connect(ops_settings) as client:
        assert not client.exists(keys.REDRIVES)


async def test_the_log_names_who_began_a_replay_also_where_it_ended(
    ops_settings: Settings, client: redis.Redis
) -> None:
    async with browser(ops_settings, OPERATOR) as operator:
        answer = await operator.post("/replays", data={"form_token": await form_token(operator)})
        redrive_id = answer.headers["Location"].rpartition("/")[2].partition("?")[0]
        wait_until(
            lambda: OperationsLog(client).newest()[0].action == "dead.redrive.done",
            what="the replay of nothing is done and logged",
        )
    assert redrive_id in OperationsLog(client).newest()[0].selection
    assert {entry.who for entry in OperationsLog(client).newest()} == {"Ann (page)"}


async def test_a_cause_tells_whom_it_hits_most_first(ops_settings: Settings, client: redis.Redis) -> None:
    ann, bo = UUID(int=1), UUID(int=2)
    letters = [a_letter(user_id=user) for user in (bo, ann, ann)]
    bury(client, ops_settings, [*letters, a_letter(raw=b"of nobody"), *(a_letter() for _ in range(20))])
    async with browser(ops_settings, VIEWER) as viewer:
        text = (await viewer.get(f"/dead/groups/{letters[0].group}")).text
        assert "Affected addresses, most first: 10 of 22" in text
        hit = re.findall(r'href="/dead\?address=([^"]+)"', text)
        assert (len(hit), hit[0]) == (10, f"user%3A{ann}")
        assert len(re.findall(r'href="/dead/letters/', (await viewer.get(f"/dead?user={ann}")).text)) == 2
