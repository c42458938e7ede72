"""What an application's settings file says stands beneath the environment, and is judged like it."""

from collections.abc import Iterator

import pytest

from bridge.settings import ProducerSettings, load_settings, overruled, put_beneath, read_settings


@pytest.fixture(autouse=True)
def nothing_remains() -> Iterator[None]:
    yield
    put_beneath({})


def test_the_environment_wins_and_a_file_says_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    put_beneath({"REDIS_URL": "redis://file:1/0", "SOURCE": "file", "OUTBOX_MAX": 5, "OUTBOX_POLL_S": 2})
    monkeypatch.setenv("BRIDGE_SOURCE", "environment")
    read = load_settings(for_=ProducerSettings)
    assert (read.redis_url, read.source, read.outbox_max, read.outbox_poll_s) == (
        "redis://file:1/0",
        "environment",
        5,
        2.0,
    )
    assert load_settings(source="override", for_=ProducerSettings).source == "override"
    assert load_settings({}, for_=ProducerSettings).source == "bridge", "an environment that is given is all there is"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"REDIS_ULR": "redis://a/0"}, "BRIDGE_REDIS_ULR is not a setting of this version; did you mean BRIDGE_REDIS"),
        ({"BRIDGE_SOURCE": "a"}, "BRIDGE_BRIDGE_SOURCE is not a setting of this version; did you mean BRIDGE_SOURCE?"),
        ({"source": "a"}, "source is no setting of a settings file: keys are in upper case. Write SOURCE."),
        ({"Source": "a"}, "Source is no setting of a settings file: keys are in upper case. Write SOURCE."),
        ({"SOURCE": None}, "BRIDGE_SOURCE must be 1 to 200 characters long."),
        ({"OUTBOX_MAX": "many"}, "BRIDGE_OUTBOX_MAX must be a whole number between"),
        ({"OUTBOX_NOTIFY": 3}, "BRIDGE_OUTBOX_NOTIFY must be 1 or 0, true or false."),
    ],
)
def test_a_mistake_in_the_file_is_a_sentence(given: dict[str, object], sentence: str) -> None:
    put_beneath(given)
    (fault,) = read_settings(for_=ProducerSettings).faults
    assert fault.startswith(sentence)


def test_what_the_environment_overrules_is_not_judged_but_named(monkeypatch: pytest.MonkeyPatch) -> None:
    put_beneath({"OUTBOX_MAX": "many", "SOURCE": "same", "EMIT_BATCH_MAX": 5})
    monkeypatch.setenv("BRIDGE_OUTBOX_MAX", "3")
    monkeypatch.setenv("BRIDGE_SOURCE", "same")
    monkeypatch.setenv("BRIDGE_EMIT_BATCH_MAX", "6")
    assert overruled() == ["BRIDGE_OUTBOX_MAX", "BRIDGE_EMIT_BATCH_MAX"]
    assert read_settings().settings.outbox_max == 3
