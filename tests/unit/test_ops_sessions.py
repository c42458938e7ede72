"""Sessions of the operators' page: signed, ended, of one role; and guessing is slowed down."""

import msgspec
import pytest

from bridge.model.bounds import PERSON_CHARS_MAX
from bridge.model.errors import SettingsError
from bridge.ops.access_control import safe_path
from bridge.ops.sessions import (
    ADDRESSES_MAX,
    FORGET_S,
    FREE_FAILURES,
    LIFE_S,
    WAIT_CAP_S,
    Role,
    Session,
    Sessions,
    Throttle,
)
from bridge.settings import Settings, load_settings

OPERATOR, VIEWER = "operator-token-0123", "viewer-token-01234"
SETTINGS = Settings(ops_token=OPERATOR, ops_view_token=VIEWER)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(SETTINGS, clock=clock)


# Tokens


def test_each_token_opens_its_role_and_nothing_else_does(sessions: Sessions) -> None:
    assert sessions.role_of(OPERATOR) is Role.OPERATOR
    assert sessions.role_of(VIEWER) is Role.VIEWER
    for wrong in ("", OPERATOR[:-1], OPERATOR + "x", OPERATOR.upper(), "ü" * 20, "\udc80" * 20):
        assert sessions.role_of(wrong) is None


def test_a_token_that_is_not_set_lets_nobody_in() -> None:
    assert Sessions(Settings(ops_token=OPERATOR)).role_of("") is None
    assert Sessions(Settings(ops_view_token=VIEWER)).role_of(OPERATOR) is None


@pytest.mark.parametrize("name", ["BRIDGE_OPS_TOKEN", "BRIDGE_OPS_VIEW_TOKEN"])
def test_a_short_token_is_refused_with_how_to_make_one_and_never_repeated(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: "hunter2"})
    assert f"{name} must have at least 16 characters; make one with: openssl rand -hex 32." in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_both_tokens_must_differ() -> None:
    with pytest.raises(SettingsError, match="must differ"):
        load_settings({"BRIDGE_OPS_TOKEN": OPERATOR, "BRIDGE_OPS_VIEW_TOKEN": OPERATOR})


# Sessions


@pytest.mark.parametrize("role", Role)
def test_a_session_is_known_again(sessions: Sessions, role: Role) -> None:
    session = sessions.begin(role, "Ann")
    assert sessions.from_cookie(sessions.to_cookie(session)) == session
    assert session.who == "Ann (page)"


def test_a_session_ends_with_its_time(sessions: Sessions, clock: Clock) -> None:
    cookie = sessions.to_cookie(sessions.begin(Role.OPERATOR))
    clock.now += LIFE_S - 1
    assert sessions.from_cookie(cookie) is not None
    clock.now += 1
    assert sessions.from_cookie(cookie) is None


def test_a_session_ends_with_its_token(sessions: Sessions, clock: Clock) -> None:
    cookie = sessions.to_cookie(sessions.begin(Role.OPERATOR))
    assert Sessions(Settings(ops_token=OPERATOR + "2", ops_view_token=VIEWER), clock=clock).from_cookie(cookie) is None
    assert Sessions(Settings(ops_view_token=VIEWER), clock=clock).from_cookie(cookie) is None
    assert Sessions(SETTINGS, clock=clock).from_cookie(cookie) is not None, "another process knows it"


def test_whoever_has_the_viewers_token_cannot_sign_for_an_operator(sessions: Sessions, clock: Clock) -> None:
    swapped = Sessions(Settings(ops_token=VIEWER), clock=clock)
    assert sessions.from_cookie(swapped.to_cookie(swapped.begin(Role.OPERATOR))) is None


def test_a_session_that_was_changed_is_unknown(sessions: Sessions) -> None:
    cookie = sessions.to_cookie(sessions.begin(Role.VIEWER))
    body, _, signature = cookie.partition(".")
    promoted = Session(role=Role.OPERATOR, name="", nonce="n", ends_s=1e12)
    forged = Sessions(SETTINGS).to_cookie(promoted).partition(".")[0]
    for wrong in (
        "",
        ".",
        body,
        f"{body}.",
        f"{body}.AAAA",
        f"{forged}.{signature}",
        f"{cookie}AAAA",
        "ü.ü",
        "a" * 10_000,
        cookie.swapcase(),
    ):
        assert sessions.from_cookie(wrong) is None, wrong


def test_a_cookie_holds_no_token(sessions: Sessions) -> None:
    session = sessions.begin(Role.OPERATOR)
    assert OPERATOR not in sessions.to_cookie(session) + msgspec.json.encode(session).decode()


def test_a_name_is_short_and_printable(sessions: Sessions) -> None:
    name = sessions.begin(Role.OPERATOR, " A\x00n\nn" + "x" * 100).name
    assert name.startswith("Annx")
    assert len(name) == PERSON_CHARS_MAX


def test_a_form_token_is_good_for_its_session_alone(sessions: Sessions) -> None:
    mine, other = sessions.begin(Role.OPERATOR), sessions.begin(Role.OPERATOR)
    assert sessions.is_form_token(mine, sessions.form_token(mine))
    for wrong in ("", "ü", sessions.form_token(other), sessions.to_cookie(mine).partition(".")[2]):
        assert not sessions.is_form_token(mine, wrong)


@pytest.mark.parametrize(
    "given",
    ["", "dead", "//evil.example", "/\\evil.example", "https://evil.example", "/login?next=/", "/logout", "/\n/x"],
)
def test_signing_in_leads_nowhere_else(given: str) -> None:
    assert safe_path(given) == "/"


def test_signing_in_leads_back_to_where_one_was() -> None:
    assert safe_path("/dead?type=Moody&since=2h") == "/dead?type=Moody&since=2h"


# Guessing


def test_the_more_wrong_tokens_the_longer_the_wait(clock: Clock) -> None:
    throttle, waits = Throttle(clock=clock), []
    for _ in range(FREE_FAILURES + 10):
        waits.append(throttle.wait_s("a"))
        throttle.failed("a")
    assert waits[: FREE_FAILURES + 4] == [0.0] * FREE_FAILURES + [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == WAIT_CAP_S
    assert throttle.wait_s("b") == 0.0, "others do not wait"
    clock.now += WAIT_CAP_S
    assert throttle.wait_s("a") == 0.0
    for _ in range(2000):
        throttle.failed("a")
    assert throttle.wait_s("a") == WAIT_CAP_S


def test_failures_are_forgotten_after_a_while_and_after_a_right_token(clock: Clock) -> None:
    throttle = Throttle(clock=clock)
    for _ in range(FREE_FAILURES):
        throttle.failed("a")
        throttle.failed("b")
    throttle.succeeded("a")
    assert (throttle.wait_s("a"), throttle.wait_s("b")) == (0.0, 1.0)
    clock.now += FORGET_S + 1
    assert throttle.wait_s("b") == 0.0
    throttle.failed("b")
    assert throttle.wait_s("b") == 0.0


def test_many_addresses_take_bounded_memory_and_the_newest_are_kept(clock: Clock) -> None:
    throttle = Throttle(clock=clock)
    for number in range(2 * ADDRESSES_MAX):
        throttle.failed(str(number))
    for _ in range(FREE_FAILURES):
        throttle.failed("guesser")
    assert len(throttle._records) == ADDRESSES_MAX
    assert throttle.wait_s("guesser") == 1.0
