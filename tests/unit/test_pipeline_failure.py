"""Failure: what went wrong, capped and scrubbed, whatever the exception does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import PermanentError
from bridge.model.pipeline import Stage, describe
from bridge.model.pipeline.failure import MAX_MESSAGE_CHARS, MAX_TRACEBACK_CHARS, scrub
from tests.support.growth import HOSTILE, assert_in_proportion, hostile
from tests.support.naming import shown


def raised(error: BaseException) -> BaseException:
    """The exception with a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class WordlessError(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]


class InsistentError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("amqp://user:hunter2@host//", "amqp://user:***@host//"),
        ("postgresql+psycopg://user:hunter@2@host/db", "postgresql+psycopg://user:***@host/db"),
        ("sentinel://:hunter2@a:1;sentinel://:hunter2@b:1", "sentinel://:***@a:1;sentinel://:***@b:1"),
        ("Authorization: Bearer hunter2hunter2.x-y_z", "Authorization: Bearer ***"),
        ("basic aHVudGVyMjpodW50ZXIy==", "basic ***"),
        ("password=hunter2&x=1", "password=***&x=1"),
        ('{"db_password": "hunter2", "x": 1}', '{"db_password": "***", "x": 1}'),
        ("API_KEY: hunter2", "API_KEY: ***"),
        ("access-token='hunter2'", "access-token='***'"),
        ("client_secret = hunter2;", "client_secret = ***;"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJl is bad", "token *** is bad"),
    ],
)
def test_secrets_are_masked_and_the_rest_is_kept(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed
    failure = describe(raised(RuntimeError(text)), Stage.EXTRACT, with_traceback=True)
    assert failure.message == scrubbed
    assert text not in failure.traceback


@pytest.mark.parametrize(
    "text", ["no account for user 5", "http://host:80/a@b", "tokens: three of them"[:6], "10:30@noon"]
)
def test_plain_words_are_left_alone(text: str) -> None:
    assert scrub(text) == text


def test_a_lone_surrogate_is_replaced() -> None:
    assert describe(ValueError("bad \ud800"), Stage.EXTRACT).message == "bad ?"


def test_texts_are_capped_and_the_newest_frames_are_kept() -> None:
    def dig(depth: int) -> None:
        if depth:
            dig_on(depth - 1)
        raise ValueError("x" * 1_000_000)

    def dig_on(depth: int) -> None:
        dig(depth)

    try:
        dig(200)
    except ValueError as error:
        failure = describe(error, Stage.EXTRACT, with_traceback=True)
    assert len(failure.message) == MAX_MESSAGE_CHARS
    assert 0 < len(failure.traceback) <= MAX_TRACEBACK_CHARS
    assert failure.traceback.endswith("xxx\n")
    assert 'raise ValueError("x"' in failure.traceback


@pytest.mark.parametrize("shift", range(0, 90, 5))
def test_a_secret_that_the_cap_would_cut_in_half_is_masked(shift: int) -> None:
    code = "def ping(depth, text):\n    pong(depth - 1, text) if depth else fail(text)\n"
    scope: dict[str, Any] = {}

    def pong(depth: int, text: str) -> None:
        scope["ping"](depth, text)

    def fail(text: str) -> None:
        raise ValueError(text)

    scope |= {"pong": pong, "fail": fail}
    exec(compile(code, "amqp://user:hunter2hunter2@host", "exec"), scope)
    with pytest.raises(ValueError, match="x") as caught:
        scope["ping"](60, "x" * (shift + 1))
    failure = describe(caught.value, Stage.EXTRACT, with_traceback=True)
    assert len(failure.traceback) == MAX_TRACEBACK_CHARS
    assert "hunter2" not in failure.traceback


@pytest.mark.parametrize(
    ("error", "why"), [(UnreadableError(), "RuntimeError"), (WordlessError(), "TypeError")], ids=shown
)
def test_an_exception_that_cannot_say_what_it_is_is_described_all_the_same(error: Exception, why: str) -> None:
    failure = describe(raised(error), Stage.EXTRACT, with_traceback=True)
    assert failure.message == f"(its text could not be read: {why})"
    assert failure.error_class.endswith(type(error).__name__)
    assert "UnreadableError" in failure.traceback or "WordlessError" in failure.traceback


def test_an_interrupt_while_the_exception_is_read_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        describe(InsistentError(), Stage.EXTRACT)


def test_a_text_is_asked_for_once_as_it_may_hang_until_the_time_limit() -> None:
    asked = []

    class SlowError(Exception):
        def __str__(self) -> str:
            asked.append(1)
            return "slow"

    failure = describe(raised(SlowError()), Stage.EXTRACT, with_traceback=True)
    assert failure.traceback.endswith("SlowError: slow\n")
    assert asked == [1]


def test_a_class_that_hides_its_name_is_named_all_the_same() -> None:
    class Hiding(type):
        def __getattribute__(cls, name: str) -> Any:
            if name in ("__module__", "__name__", "__qualname__"):
                raise RuntimeError(name)
            return super().__getattribute__(name)

    class HiddenError(Exception, metaclass=Hiding):
        pass

    assert describe(raised(HiddenError("x")), Stage.EXTRACT, with_traceback=True).error_class == "HiddenError"


def test_the_class_is_named_in_full_and_builtins_in_short() -> None:
    assert describe(KeyError("a"), Stage.DECODE).error_class == "KeyError"
    assert describe(PermanentError(), Stage.EXTRACT).error_class == "bridge.PermanentError"


def test_a_traceback_is_kept_only_when_asked_for() -> None:
    assert describe(raised(KeyError("a")), Stage.DECODE).traceback == ""
    assert "test_pipeline_failure" in describe(raised(KeyError("a")), Stage.EXTRACT, with_traceback=True).traceback


@given(st.text())
def test_scrubbing_ends_and_gives_text_that_utf8_can_carry(text: str) -> None:
    scrub(text).encode()


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=list(HOSTILE))
def test_scrubbing_takes_time_in_proportion(piece: str) -> None:
    assert_in_proportion(scrub, hostile(piece), 2_000)


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=list(HOSTILE))
def test_describing_takes_the_same_time_however_long_the_text_is(piece: str) -> None:
    def described(text: str) -> None:
        describe(raised(RuntimeError(text)), Stage.EXTRACT, with_traceback=True)

    assert_in_proportion(described, hostile(piece), 10_000)


@pytest.mark.parametrize("before", [1, 1_900, 1_990, 1_999])
@pytest.mark.parametrize("blank", ["", " "])
def test_half_a_secret_at_the_end_of_what_is_looked_at_is_left_out(before: int, blank: str) -> None:
    text = "token=x " * (before // 8) + blank + "redis://:" + "hunter2" * 1_000 + "@host"
    assert "hunter2" not in describe(raised(RuntimeError(text)), Stage.EXTRACT).message
