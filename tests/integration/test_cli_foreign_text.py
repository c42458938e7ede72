"""Text from elsewhere in what commands print, and values that are mistyped: neither ends a command with a traceback."""

import json
import subprocess
from uuid import UUID

import msgspec
import pytest
import redis

from bridge.redis_adapter import DeadLetters, Producers, Workers
from bridge.redis_adapter.task_queue import Entries
from bridge.runtime.reports import ProducerReport, WorkerReport
from bridge.settings import Settings
from tests.support.letters import a_letter
from tests.support.processes import run_cli

HOSTILE = "a[/x]b[bold]\x1b[31m:smile:\u202egpj.\u2066\x7f\x85\ue000 ü"
REPORT = {
    "host": HOSTILE,
    "pid": 7,
    "node": HOSTILE,
    "pool": HOSTILE,
    "processes": 1,
    "queues": (HOSTILE,),
    "started": "2026-01-01T00:00:00+00:00",
    "consumed": 0,
    "in_hand": 0,
    "running": 0,
    "consumed_age_s": 1.0,
    "loop_age_s": 100.0,
    "oldest_task_s": 0.0,
}


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = run_cli(*arguments, environment={"BRIDGE_BROKER_URL": settings.broker_url})
    assert "Traceback" not in done.stderr, done.stderr
    return done


def fill(settings: Settings, client: redis.Redis) -> None:
    """Hostile text wherever there may be text."""
    Workers(client).beat(f"{HOSTILE}:7:aaaa", WorkerReport(**REPORT))
    Producers(client).keep("x", ProducerReport(host=HOSTILE, pid=1, started="", waiting=3))
    Entries(client).enter([("id", "bridge.X[/x]", "bridge.[/x]", b"0" * 16)])
    client.lpush(f"bridge.{HOSTILE}", HOSTILE)
    letter = msgspec.structs.replace(
        a_letter(letter_id=str(UUID(int=7))),
        queue=HOSTILE,
        addresses=(f"user:{HOSTILE}",),
        worker=HOSTILE,
        task=f"bridge.{HOSTILE}",
    )
    DeadLetters(client, settings).bury([letter])
    run(settings, "dead", "discard", "--id", str(UUID(int=1)), "--reason", HOSTILE, "-y")


COMMANDS = [
    ["status"],
    ["queues"],
    ["audit", "--grace", "0"],
    ["dead", "list"],
    ["dead", "groups"],
    ["dead", "users"],
    ["dead", "log"],
    ["dead", "redrives"],
    ["retries", "list"],
    ["retries", "groups"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_any_text_is_shown_as_it_is(settings: Settings, client: redis.Redis, command: list[str]) -> None:
    fill(settings, client)
    done = run(settings, *command)
    assert done.stdout
    assert not {"\x1b", "\u202e", "\u2066", "\x7f", "\x85", "\ue000"}.intersection(done.stdout)
    assert "☺" not in done.stdout
    if command[0] in ("status", "queues"):
        assert "[/x]" in done.stdout


@pytest.mark.parametrize(
    "command",
    [*COMMANDS, ["dead", "show", str(UUID(int=7))], ["dead", "export"], ["dead", "redrive", "--dry-run"], ["check"]],
    ids=" ".join,
)
def test_json_holds_nothing_that_a_terminal_obeys(settings: Settings, client: redis.Redis, command: list[str]) -> None:
    fill(settings, client)
    as_json = [] if command[-1] == "export" else ["--json"]
    done = run(settings, *command, *as_json)
    assert done.stdout
    assert all(" " <= letter <= "~" or letter == "\n" for letter in done.stdout)
    lines = done.stdout.splitlines() if command[-1] in ("export", "--dry-run") else [done.stdout]
    values = [json.loads(line) for line in lines]
    if " ".join(command) in ("status", "queues", "dead list", "dead users", "dead export", "dead log"):
        assert HOSTILE in str_values(values)


def str_values(value: object) -> set[str]:
    match value:
        case dict():
            return set().union(*(str_values(part) for part in (*value, *value.values())))
        case list():
            return set().union(*(str_values(part) for part in value))
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize(
    ("options", "near"),
    [
        (["--type", "FileImportFaild"], "FileImportFailed"),
        (["--type", "import.faild"], "import.failed"),
        (["--type", "Nonsense"], ""),
        (["--category", "imports"], "import"),
        (["--stage", "extrct"], "extract"),
        (["--error", "LokupError"], "LookupError"),
    ],
)
@pytest.mark.parametrize("command", ["dead redrive -y", "dead list", "dead discard --reason x -y"])
def test_a_mistyped_filter_is_an_error_with_the_near_value(
    settings: Settings, client: redis.Redis, command: str, options: list[str], near: str
) -> None:
    DeadLetters(client, settings).bury([a_letter()])
    done = run(settings, *command.split(), *options)
    assert done.returncode == 2, done
    assert near in done.stderr
    assert DeadLetters(client, settings).count() == 1


@pytest.mark.parametrize("options", [["--type", "FileImportFailed", "--until", "100d"], ["--category", "security"]])
def test_a_filter_that_matches_nothing_says_so(settings: Settings, client: redis.Redis, options: list[str]) -> None:
    DeadLetters(client, settings).bury([a_letter()])
    done = run(settings, "dead", "redrive", "-y", *options)
    assert (done.returncode, done.stdout.strip()) == (0, "No letter matches.")


def test_what_the_registry_has_no_more_can_still_be_chosen(settings: Settings, client: redis.Redis) -> None:
    letter = msgspec.structs.replace(a_letter(), task="bridge.OldThing", queue="bridge.oldies")
    DeadLetters(client, settings).bury([letter])
    for options in (["--type", "OldThing"], ["--category", "oldies"]):
        done = run(settings, "dead", "list", "--json", *options)
        assert done.returncode == 0
        assert letter.letter_id in done.stdout


@pytest.mark.parametrize("name", ["\udcff\udcfe", "a\nb\x1b[31m", "x" * 5_000], ids=["no UTF-8", "lines", "long"])
def test_whoever_acts_may_be_called_anything(settings: Settings, client: redis.Redis, name: str) -> None:
    DeadLetters(client, settings).bury([a_letter()])
    environment = {"BRIDGE_BROKER_URL": settings.broker_url, "LOGNAME": name}
    done = run_cli("dead", "discard", "--reason", "seen", "-y", environment=environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    (entry,) = json.loads(run(settings, "dead", "log", "--json").stdout)
    assert entry["who"].isprintable() and len(entry["who"]) < 200
