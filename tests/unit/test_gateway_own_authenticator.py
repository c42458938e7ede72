"""An application's own authenticator: who can be one, and what becomes of a request over which it fails."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
from starlette.requests import HTTPConnection

from bridge.catalogs.finance import REGISTRY
from bridge.gateway import Principal, RequestRefusedError, UnauthorizedError, asking, authenticator, create_app
from bridge.gateway.authenticator import OwnAuthenticator, load_authenticator
from bridge.gateway.refusal import passing, problem, unavailable
from bridge.model.counting import Counters
from bridge.model.errors import SettingsError
from bridge.settings import Settings
from tests.support import identities
from tests.support.naming import shown

REQUEST = HTTPConnection({"type": "http", "headers": [(b"x-user", b"7")], "query_string": b"", "path": "/"})
SECRET = "secret-in-an-exception"


class Answering:
    """Returns or raises what it is given, or awaits it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def identify(self, _: Any) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return await self.answer() if callable(self.answer) else self.answer


@dataclass(frozen=True, kw_only=True)
class Unmakeable(Principal):
    """Cannot be made again with another user."""

    tenant: InitVar[int]


class Sessions(dict[str, int]):
    """An authenticator that is a table, and empty when the gateway starts."""

    async def identify(self, _: Any) -> Principal:
        return Principal(user=7)


class Unreadable:
    """Has an identify that cannot be read."""

    @property
    def identify(self) -> Any:
        raise KeyError(SECRET)


async def identify(answer: Any, registry: Any = identities.numbers) -> tuple[Any, Counters]:
    counters = Counters()
    door = OwnAuthenticator(Answering(answer), registry, counters)
    try:
        return await door.identify(REQUEST), counters
    except (RequestRefusedError, UnauthorizedError) as refusal:
        return refusal, counters


async def test_a_principal_of_the_registry_is_believed() -> None:
    found, counters = await identify(Principal(user=7, expires_at=time.time() + 60))
    assert (found.user, counters.authenticator_failures) == (7, 0)
    assert (await OwnAuthenticator(identities.of_numbers, identities.numbers, counters).identify(REQUEST)).user == 7


@pytest.mark.parametrize(
    "refusal", [UnauthorizedError("Sign in."), RequestRefusedError(HTTPStatus.FORBIDDEN, "Not you.")]
)
async def test_a_refusal_of_its_own_is_handed_on_and_is_no_failure(refusal: Exception) -> None:
    found, counters = await identify(refusal)
    assert found is refusal
    assert counters.authenticator_failures == 0


@pytest.mark.parametrize(
    "refusal",
    [
        RequestRefusedError(HTTPStatus.NO_CONTENT, SECRET),
        RequestRefusedError(HTTPStatus.OK, SECRET),
        RequestRefusedError(HTTPStatus.NOT_MODIFIED, SECRET),
        RequestRefusedError(HTTPStatus.FORBIDDEN, [SECRET]),  # type: ignore[arg-type]
        RequestRefusedError(HTTPStatus.FORBIDDEN, f"{SECRET}\ud800"),
        RequestRefusedError(HTTPStatus.FORBIDDEN, SECRET, members={"a": object()}),
        RequestRefusedError(HTTPStatus.FORBIDDEN, SECRET, headers={"X-A": f"a\r\nX-B: {SECRET}"}),
        RequestRefusedError(HTTPStatus.FORBIDDEN, SECRET, headers={"X-A\n": SECRET}),
        RequestRefusedError(HTTPStatus.FORBIDDEN, SECRET, headers={"X-A": "€"}),
        RequestRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, SECRET, retry_after_s=math.nan),
        UnauthorizedError(f"{SECRET}\ud800"),
    ],
    ids=repr,
)
async def test_a_refusal_that_cannot_be_sent_is_503_logged_and_counted(
    refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    found, counters = await identify(refusal)
    assert (found.status, counters.authenticator_failures) == (HTTPStatus.SERVICE_UNAVAILABLE, 1)
    assert f"it raised {type(refusal).__name__}, which cannot be sent" in caplog.text
    assert SECRET not in caplog.text + str(found)


def test_a_refusal_takes_its_status_as_a_number_too() -> None:
    assert problem(RequestRefusedError(403, "No.")).status_code == 403  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="799"):
        RequestRefusedError(799, "No.")  # type: ignore[arg-type]


def test_what_a_refusal_says_injects_nothing_into_the_stream_that_carries_it() -> None:
    said = unavailable("Wait.\n\ndata: 1\r\revent: x\n\n", 5)
    assert passing(said, {}).body == rb": Wait.\n\ndata: 1\r\revent: x\n\n" + b"\nretry: 5000\n"


@pytest.mark.parametrize(
    "error",
    [RuntimeError(SECRET), KeyError(SECRET), SystemExit(SECRET), asyncio.CancelledError(SECRET), TimeoutError(SECRET)],
    ids=lambda error: type(error).__name__,
)
async def test_one_that_raises_is_503_logged_without_what_it_says_and_counted(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    found, counters = await identify(error)
    assert (found.status, found.retry_after_s) == (HTTPStatus.SERVICE_UNAVAILABLE, authenticator.RETRY_AFTER_S)
    assert counters.authenticator_failures == 1
    assert "bridge.gateway.authenticator_failed authenticator=Answering" in caplog.text
    assert type(error).__name__ in caplog.text
    assert "test_gateway_own_authenticator.py" in caplog.text
    assert SECRET not in caplog.text + str(found)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_one_that_hangs_is_503_in_bounded_time_even_if_it_ignores_its_end(
    stubborn: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(authenticator, "IDENTIFY_TIMEOUT_S", 0.05)
    release = asyncio.Event()

    async def hang() -> None:
        try:
            await release.wait()
        except asyncio.CancelledError:
            if stubborn:
                await release.wait()

    async with asyncio.timeout(20):
        found, counters = await identify(hang)
    release.set()
    assert found.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert counters.authenticator_failures == 1
    assert "took longer than" in caplog.text


async def test_one_that_never_answers_is_asked_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ASKING_MAX", 1)
    release, counters = asyncio.Event(), Counters()

    async def wait() -> Principal:
        await release.wait()
        return Principal(user=7)

    door = OwnAuthenticator(Answering(wait), identities.numbers, counters)
    first = asyncio.create_task(door.identify(REQUEST))
    await asyncio.sleep(0)
    with pytest.raises(RequestRefusedError) as refused:
        await door.identify(REQUEST)
    assert (refused.value.status, counters.authenticator_failures) == (HTTPStatus.SERVICE_UNAVAILABLE, 1)
    release.set()
    assert (await first).user == (await door.identify(REQUEST)).user == 7


async def test_a_client_that_leaves_while_it_is_asked_leaves_nothing_behind() -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asking = asyncio.create_task(identify(wait))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(20):
        await ended.wait()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        {"user": 7},
        Principal,
        Principal(user="7"),
        Principal(user=uuid4()),
        Principal(user=True),
        Principal(user=2**63),
        Principal(user=None),  # type: ignore[arg-type]
        Principal(user=7, expires_at=math.nan),
        Principal(user=7, expires_at=math.inf),
        Principal(user=7, expires_at="soon"),  # type: ignore[arg-type]
        Principal(user=7, expires_at=10**400),
        Principal(user=7, expires_at=1_800_000_000_000),  # in milliseconds
        Unmakeable(user=7, tenant=1),
        Principal(user=7, topics=["order:42"]),  # type: ignore[list-item]
        Principal(user=7, topics="order:42"),  # type: ignore[arg-type]
        Principal(user=7, topics=None),  # type: ignore[arg-type]
        Principal(user=7, topics=iter(())),  # type: ignore[arg-type]
    ],
    ids=shown,
)
async def test_one_that_returns_nonsense_is_500_logged_and_counted(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(answer, type):
        answer = [answer]
    found, counters = await identify(answer)
    assert (found.status, found.retry_after_s) == (HTTPStatus.INTERNAL_SERVER_ERROR, None)
    assert counters.authenticator_failures == 1
    assert "bridge.gateway.authenticator_failed" in caplog.text


async def test_a_right_that_has_expired_is_401() -> None:
    found, counters = await identify(Principal(user=7, expires_at=time.time() - 1))
    assert isinstance(found, UnauthorizedError)
    assert counters.authenticator_failures == 0


async def test_one_that_is_falsy_is_asked_all_the_same() -> None:
    settings = Settings(jwt_secret="s" * 32)
    app = create_app(settings, identities.numbers, authenticator=Sessions())
    endpoint = app.router.routes[0].endpoint  # type: ignore[attr-defined]
    assert isinstance(endpoint.__self__._authenticator.otherwise, OwnAuthenticator)


def test_one_that_is_given_needs_no_settings_of_tokens() -> None:
    assert create_app(Settings(), REGISTRY, authenticator=Answering(None))
    assert create_app(Settings(gateway_authenticator="tests.support.identities:of_numbers"), identities.numbers)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "BRIDGE_GATEWAY_AUTHENTICATOR is 'nowhere'; write it as 'package.module:attribute'."),
        ("no_such_package.login:own", "there is no module 'no_such_package'"),
        ("tests.support.identities:missing", "which is missing there; it must be an authenticator."),
        ("tests.support.identities:a_class", "which is the class HeaderAuthenticator; make one of it, and give that."),
        (
            "tests.support.identities:a_number",
            "which has no method `async def identify(self, request)`; its type is int.",
        ),
        ("tests.support.identities:sync", "which has an identify that is not async"),
        ("tests.support.identities:careless", "which has an identify that does not take one request"),
    ],
)
def test_what_is_no_authenticator_is_told_in_one_sentence(path: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_authenticator(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("made", [7, Answering, identities.sync, lambda request: request])
def test_what_is_given_in_code_is_judged_alike(made: Callable[..., Any]) -> None:
    with pytest.raises(SettingsError, match=r"authenticator= (is|has)"):
        create_app(Settings(), REGISTRY, authenticator=made)  # type: ignore[arg-type]


def test_one_whose_identify_cannot_be_read_is_told_in_one_sentence() -> None:
    with pytest.raises(SettingsError, match=r"has an identify that cannot be read: it raised KeyError") as caught:
        create_app(Settings(), REGISTRY, authenticator=Unreadable())
    assert SECRET not in str(caught.value)


def test_two_ways_of_knowing_are_a_contradiction() -> None:
    with pytest.raises(ValueError, match="BRIDGE_GATEWAY_DEV or BRIDGE_GATEWAY_AUTHENTICATOR, not both"):
        Settings(gateway_dev=True, gateway_authenticator="a:b")
