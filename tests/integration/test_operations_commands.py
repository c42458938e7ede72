"""The operators' commands when what they were given is wrong, when Redis is away, or when somebody thinks twice."""

import json
import shlex
import signal
from pathlib import Path

import pytest
import redis

from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.model.retry import RetryRecord
from bridge.operations.redrive import Redrives
from bridge.redis_adapter import DeadLetters, RetrySet
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support import keys
from tests.support.letters import QUEUE, TASK, a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.naming import shown
from tests.support.processes import COMMAND, assert_sentence, clean_environment, run_cli, running_cli
from tests.support.terminal import run_in_terminal
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

CATALOG = {"BRIDGE_REGISTRY": "tests.support.moody_catalog:registry", "MOODY_DIR": "/nonexistent"}
AN_ID = "01a1fb9f-d28b-7f1d-8052-642667ab2557"
NEED_REDIS = (
    "status",
    "status --json",
    "audit",
    f"trace {AN_ID}",
    "retries list",
    f"retries show {AN_ID}",
    "retries groups --json",
    "retries now",
    "retries cancel --yes",
    "dead list --json",
    f"dead show {AN_ID}",
    "dead groups",
    "dead users",
    "dead export",
    "dead log",
    "dead redrives",
    "dead redrive --yes",
    "dead redrive --dry-run",
    "dead redrive --resume 1f0c6a3b92de",
    "dead discard --yes --reason old",
)
WRONG = {
    "dead list --type no.such": "no event type 'no.such'",
    "dead groups --category sports": "there are moods, news",
    "dead users --stage middle": "there are message, decode",
    "dead export --since yesterday": "give 30m, 2h, 7d",
    "dead list --since 1m --until 1h": "(since) is after",
    "dead list --user ann": "'ann' is no user id: those are UUIDs",
    "dead list --after here": "is no cursor",
    "dead list --after nan:x": "is no cursor",
    "retries list --after inf:x": "is no cursor",
    "dead list --limit 0": "not in the range",
    "dead redrive --max-failures many": "give 10% or 0.1",
    "dead redrive --canary 0": "not in the range",
    "dead redrive --rate 0": "not in the range",
    "dead redrive --resend": "goes with --resume",
    "dead discard --yes": "Missing option '--reason'",
    "retries now --type no.such": "no event type 'no.such'",
    "trace nonsense": "not a valid UUID",
}
UNKNOWN = {
    "dead show nonsense": "There is no dead letter nonsense",
    "dead redrive --resume nonsense": "There is no redrive nonsense",
    "retries show nonsense": "No retry of event nonsense waits",
}


@pytest.fixture
def environment(redis_url: str) -> dict[str, str]:
    return {**CATALOG, "BRIDGE_BROKER_URL": redis_url}


@pytest.mark.parametrize("words", NEED_REDIS)
def test_without_redis_a_command_says_where_it_looked_and_what_to_check(words: str) -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    answer = run_cli(*words.split(), environment={**CATALOG, "BRIDGE_BROKER_URL": url})
    assert_sentence(answer, url.replace("secret", "***"), "Check that Redis runs", code=1)
    assert "secret" not in answer.stdout + answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize("words", WRONG)
def test_what_is_no_filter_is_refused_with_what_would_be_one(words: str, environment: dict[str, str]) -> None:
    assert_sentence(run_cli(*words.split(), environment=environment), WRONG[words], code=2)


@pytest.mark.parametrize("words", UNKNOWN)
def test_what_is_not_there_is_said(words: str, environment: dict[str, str], settings: Settings) -> None:
    answer = run_cli(*words.split(), environment=environment)
    assert_sentence(answer, UNKNOWN[words], code=1)
    assert answer.stderr.startswith("Error: ")


def test_nothing_is_done_to_many_without_asking_and_the_question_says_to_how_many(
    client: redis.Redis, settings: Settings, environment: dict[str, str]
) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    _wait_for_retry(client, settings, number=2)
    for words, what in {
        "dead discard --reason old": "discard 3 dead letters (everything)",
        "dead redrive --stage extract": "redrive 3 dead letters (stages extract)",
        "retries now": "try 2 retries (everything)",
        "retries cancel --type Moody": "bury 2 retries (types Moody)",
    }.items():
        assert_sentence(run_cli(*words.split(), environment=environment), what, "--yes", code=1)
    assert DeadLetters(client, settings).count() == 3
    assert client.zcard(keys.RETRY_DUE) == 2
    assert run_cli("retries", "now", "--yes", environment=environment).stdout == "2 retries are due now.\n"


def test_ctrl_c_pauses_a_replay_and_it_goes_on_where_it_was(
    client: redis.Redis, settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    """Oban and SQS operators ask for it: stop, and go on."""
    environment = {**environment, "MOODY_DIR": str(tmp_path)}
    bury(client, settings, [a_letter(mode="sample") for _ in range(300)])
    with running_worker(tmp_path, environment):
        with running_cli(tmp_path, "dead", "redrive", "--yes", "--rate", "100", environment=environment) as command:
            replays = Redrives(store_of(client, settings), settings, registry)
            wait_until(lambda: any(status.succeeded for status in replays.newest()), what="the replay is under way")
            assert command.end(signal.SIGINT) == 130
            (paused,) = replays.newest()
            assert (paused.state.value, 0 < paused.pending < 300) == ("paused", True), command.output
            assert f"Go on with: sse-bridge dead redrive --resume {paused.redrive_id}" in command.output
            assert "Traceback" not in command.output
        answer = run_cli("dead", "redrive", "--resume", paused.redrive_id, "--json", environment=environment)
    assert answer.returncode == 0, answer.stderr
    assert (json.loads(answer.stdout)["sent"], json.loads(answer.stdout)["succeeded"]) == (300, 300)


@pytest.mark.parametrize(("answer", "code"), [("\x03", 130), ("n\n", 1), ("y\n", 0)])
def test_a_question_is_answered_by_yes_no_or_ctrl_c(
    client: redis.Redis, settings: Settings, environment: dict[str, str], tmp_path: Path, answer: str, code: int
) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    command = shlex.join([*COMMAND, "dead", "discard", "--reason", "old"])
    session = run_in_terminal(
        command, environment=clean_environment(environment), folder=tmp_path, typed=[(r"Go on\? \[y/N\]: $", answer)]
    )
    assert (session.code, "Traceback" in session.text) == (code, False), session.text
    assert "discard 3 dead letters (everything)" in session.moments[0]
    assert DeadLetters(client, settings).count() == (3 if code else 0)


def test_ctrl_c_breaks_off_what_only_looks(
    client: redis.Redis, settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    with running_cli(tmp_path, "status", "--watch", "1", environment=environment) as command:
        command.wait_for("No worker consumes")
        assert command.end(signal.SIGINT) == 130
        assert "Traceback" not in command.output


def test_whoever_watches_sees_redis_go_and_come_back(tmp_path: Path) -> None:
    with EmbeddedServer(folder=tmp_path / "redis") as server:
        environment = {**CATALOG, "BRIDGE_BROKER_URL": server.url}
        with running_cli(tmp_path, "status", "--watch", "1", environment=environment) as command:
            command.wait_for("No worker consumes")
            server.kill()
            command.wait_for("cannot be read")
            server.start()
            shown = command.output.count("No worker consumes")
            wait_until(lambda: command.output.count("No worker consumes") > shown, what="it is shown again")
            assert command.end(signal.SIGINT) == 130


@pytest.mark.parametrize("words", [["dead", "show"], ["retries", "show"], ["dead", "redrive", "--resume"]], ids=shown)
def test_a_sentence_about_a_mistake_steers_no_terminal(words: list[str], environment: dict[str, str]) -> None:
    answer = run_cli(*words, "a\x1b[31m\x9b2J\rb", environment=environment)
    assert answer.returncode in (1, 2)
    assert answer.stderr.replace("\n", "").isprintable()


def test_a_redis_that_takes_no_writes_is_not_called_unreadable(
    client: redis.Redis, settings: Settings, environment: dict[str, str]
) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    client.config_set("maxmemory", "1")
    try:
        looked = run_cli("dead", "groups", environment=environment)
        answer = run_cli("dead", "redrive", "--yes", environment=environment)
    finally:
        client.config_set("maxmemory", "0")
    assert looked.returncode == 0, looked.stderr
    assert_sentence(answer, "cannot be written. Redis did not take the command: OOM", code=1)
    assert "cannot be read" not in answer.stderr


def test_a_selection_of_nothing_is_no_failure(environment: dict[str, str], settings: Settings) -> None:
    for words in ("dead redrive --yes", "dead list", "dead discard --yes --reason x", "retries now", "dead export"):
        answer = run_cli(*words.split(), environment=environment)
        assert (answer.returncode, answer.stderr) == (0, ""), words
    replayed = run_cli("dead", "redrive", "--yes", "--json", environment=environment)
    assert (replayed.returncode, json.loads(replayed.stdout)["total"]) == (0, 0)


def _wait_for_retry(client: redis.Redis, settings: Settings, *, number: int) -> None:
    letters = [a_letter() for _ in range(number)]
    records = [
        RetryRecord(
            event_id=letter.letter_id, task=TASK, queue=QUEUE, envelope=letter.envelope, attempts=letter.attempts
        )
        for letter in letters
    ]
    RetrySet(client, settings).add([(record, 1000) for record in records])
