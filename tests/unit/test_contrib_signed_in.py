"""FastAPI and Starlette: what a user says of itself, whichever way, lets in whoever is signed in, and nobody else."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from bridge.contrib.starlette import AppAuthenticator
from bridge.gateway import Principal, RequestRefusedError, UnauthorizedError
from bridge.gateway.authenticator import OwnAuthenticator
from bridge.model.counting import Counters
from tests.support.identities import numbers


class User:
    id = 7

    def __init__(self, is_authenticated: Any) -> None:
        self.is_authenticated = is_authenticated


class Nameless:
    id = 7


class Asked(User):
    """As users of older frameworks are."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def is_authenticated(self) -> Any:
        return self._answer


class AskedLater(Asked):
    async def is_authenticated(self) -> Any:
        return self._answer


async def identified(user: Any) -> Principal:
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""})
    own = AppAuthenticator(Starlette(), lambda _: user, numbers.users)
    return await OwnAuthenticator(own, numbers, Counters()).identify(request)


@pytest.mark.parametrize("user", [7, Nameless(), User(True), Asked(True), AskedLater(True)])
async def test_who_is_signed_in_is_let_in(user: Any) -> None:
    assert (await identified(user)).user == 7


@pytest.mark.parametrize("kind", [User, Asked, AskedLater])
@pytest.mark.parametrize("answer", [False, None, 0])
async def test_who_is_not_is_refused(kind: type[User], answer: Any) -> None:
    with pytest.raises(UnauthorizedError, match="sign in"):
        await identified(kind(answer))


async def test_a_way_that_cannot_be_asked_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RequestRefusedError) as refusal:
        await identified(User(lambda request: True))
    assert refusal.value.status == 503
    assert "User.is_authenticated wants arguments" in caplog.text
