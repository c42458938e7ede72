"""Waiting retries: listed, grouped, acted upon, and the commands for it, on a real server."""

import json
from uuid import UUID

import pytest
import redis

from bridge.model.pipeline.failure import cause_of
from bridge.model.retry import RetryRecord
from bridge.operations.retries import Retries
from bridge.operations.selection import Selection
from bridge.redis_adapter import (
    DeadLetters,
    KeptEvents,
    OperationsLog,
    RetrySet,
    read_balance,
)
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support import keys
from tests.support.letters import QUEUE, TASK, a_failure, a_letter, bury
from tests.support.processes import run_cli

ALL = Selection()


@pytest.fixture
def waiting(client: redis.Redis, settings: Settings) -> list[str]:
    retries = RetrySet(client, settings)
    records = [a_retry(number) for number in range(30)]
    client.hincrby(keys.COUNTS, "accepted", 30)
    client.hincrby(keys.COUNTS, "stray", -30)
    retries.add([(record, 100 + number) for number, record in enumerate(records)])
    client.delete(keys.STRAYS)
    return [record.event_id for record in records]


def a_retry(number: int) -> RetryRecord:
    letter = a_letter(failure=a_failure(f"number {number}", place=number % 3))
    return RetryRecord(
        event_id=letter.letter_id, task=TASK, queue=QUEUE, envelope=letter.envelope, attempts=letter.attempts
    )


def test_retries_are_listed_in_pages_and_grouped(client, settings, waiting) -> None:
    retries = Retries(store_of(client, settings))
    seen, cursor = [], None
    while True:
        page = retries.page(ALL, cursor=cursor, limit=7)
        seen += [found.record.event_id for found in page.retries]
        cursor = page.next
        if cursor is None:
            break
    assert seen == waiting
    assert [group.count for group in retries.groups(ALL)] == [10, 10, 10]
    assert KeptEvents(client).look_up(waiting[0]).waiting.record.attempt == 1
    assert KeptEvents(client).look_up("nope").waiting is None


def test_retries_that_are_being_tried_are_left_alone(client, settings, waiting) -> None:
    retries, store = Retries(store_of(client, settings)), RetrySet(client, settings)
    assert retries.now(Selection(ids=tuple(waiting[:2])), who="me").changed == 2
    claim = store.claim()
    assert {record.event_id for record in claim.records} == set(waiting[:2])
    store.confirm(claim)
    assert KeptEvents(client).look_up(waiting[0]).waiting.taken
    done = retries.cancel(ALL, reason="enough", who="me")
    assert (done.changed, done.taken) == (28, 2)
    assert DeadLetters(client, settings).count() == 28
    assert retries.now(ALL).taken == 2
    assert read_balance(client).balanced
    assert [entry.action for entry in OperationsLog(client).newest()] == [
        "retries.now",
        "retries.cancel",
        "retries.now",
    ]


# The commands


def test_the_commands_speak_json_and_sentences(client, settings, redis_url, waiting) -> None:
    environment = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry"}
    environment["MOODY_DIR"] = "/nonexistent"
    made = [a_letter(mode="a secret") for _ in range(3)]
    bury(client, settings, made)

    def run(*arguments: str) -> object:
        answer = run_cli(*arguments, environment=environment)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    page = run("dead", "list", "--limit", "2", "--json")
    assert "a secret" not in json.dumps(page)
    rest = run("dead", "list", "--after", page["next"], "--json", "--payloads")
    assert [row["letter_id"] for row in page["letters"] + rest["letters"]] == [
        letter.letter_id for letter in sorted(made, key=lambda letter: letter.letter_id, reverse=True)
    ]
    assert "a secret" in json.dumps(rest)
    assert run("dead", "groups", "--json")[0]["count"] == 3
    assert run("dead", "show", made[0].letter_id, "--json")["letter_id"] == made[0].letter_id
    assert len(run("retries", "list", "--json")["retries"]) == 30
    assert run("retries", "cancel", "--yes", "--json") == {"changed": 30, "taken": 0}
    assert run("dead", "discard", "--id", made[0].letter_id, "--reason", "test", "--json")["discarded"] == 1
    assert run("dead", "show", made[0].letter_id, "--json")["discarded"]["reason"] == "test"
    assert [entry["action"] for entry in run("dead", "log", "--json")] == ["dead.discard", "retries.cancel"]
    refused = run_cli("dead", "discard", "--reason", "all", environment=environment)
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    wrong = run_cli("dead", "list", "--since", "yesterday", environment=environment)
    assert (wrong.returncode, "is no time" in wrong.stderr) == (2, True)


def test_the_commands_speak_to_people(client, settings, redis_url, waiting) -> None:
    environment = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry"}
    environment["MOODY_DIR"] = "/nonexistent"
    ann, bo = UUID(int=1), UUID(int=2)
    made = [a_letter(mode="a secret", user_id=user) for user in (ann, ann, bo)]
    bury(client, settings, [*made, a_letter(raw=b"\x1b[2Jjunk", failure=a_failure("odd", place=2))])

    def run(*arguments: str, code: int = 0) -> str:
        answer = run_cli(*arguments, environment=environment)
        assert (answer.returncode, "Traceback (most" in answer.stderr) == (code, False), answer
        return answer.stdout + answer.stderr

    causes = run("dead", "groups")
    assert "3 times, 2 users" in causes
    assert f"where   extract: {cause_of(a_failure()).place}" in causes
    assert "4 dead letters of 2 causes." in causes
    users = run("dead", "users", "--group", made[0].group)
    assert [line.split()[:2] for line in users.splitlines() if "-0000-" in line] == [[str(ann), "2"], [str(bo), "1"]]
    assert users.endswith("Hit: 2 users.\n")
    shown = run("dead", "show", made[0].letter_id)
    assert f"for         user:{ann}" in shown
    assert "\n    return look_up(event)\n" in shown
    assert "a secret" not in shown
    assert "a secret" in run("dead", "show", made[0].letter_id, "--payloads")
    run("dead", "discard", "--id", made[0].letter_id, "--reason", "test")
    assert "reason      test" in run("dead", "show", made[0].letter_id)
    assert "attempt 1" in run("retries", "show", waiting[0])
    for words in ("dead list", "dead users", "dead redrive", "retries list"):
        assert "matches." in run(*words.split(), "--group", "00000000000f")
    assert "keeps its own" in run("dead", "redrive", "--resume", "1f0c6a3b92de", "--rate", "5", code=2)
    assert "--dry-run takes filters" in run("dead", "redrive", "--resume", "1f0c6a3b92de", "--dry-run", code=2)
