"""Whatever a token holds, it is a user's or it is refused: no number, depth or type of a claim is a fault of ours."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from starlette.requests import HTTPConnection

from bridge.gateway.auth import authenticator
from bridge.model.errors import UnauthorizedError
from bridge.settings import Settings

SECRET = "a secret of at least thirty-two bytes"
USER = UUID(int=1)
SOON = int(time.time()) + 600


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def signed(claims: str, header: str = '{"alg":"HS256","typ":"JWT"}') -> str:
    """A token with these very texts, and the right signature."""
    message = f"{encoded(header)}.{encoded(claims)}"
    signature = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def claims(**raw: str) -> str:
    """Claims of which some are given as JSON text."""
    texts = {"sub": json.dumps(str(USER)), "exp": str(SOON), **raw}
    return "{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}"


async def identify(token: str) -> Any:
    scope = {
        "type": "http",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "query_string": b"",
        "path": "/",
    }
    return await authenticator(Settings(jwt_secret=SECRET)).identify(HTTPConnection(scope))


@pytest.mark.parametrize(
    "number",
    ["1" + "0" * 400, "1" + "0" * 4000, "1" + "0" * 5000, "1e400", "-1e400", "Infinity", "-Infinity", "NaN", "-1", "0",
     "true", "null", '"soon"', '"1e999"', '"' + "9" * 4500 + '"', "[1]", "{}", "[[[[]]]]"],
)  # fmt: skip
async def test_an_end_that_no_clock_can_hold_is_refused(number: str) -> None:
    with pytest.raises(UnauthorizedError):
        await identify(signed(claims(exp=number)))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize(
    "number", ["1" + "0" * 400, "1e400", "Infinity", "NaN", "[]", '"later"', '"' + "9" * 4500 + '"']
)
async def test_a_beginning_that_no_clock_can_hold_is_refused(claim: str, number: str) -> None:
    with pytest.raises(UnauthorizedError):
        await identify(signed(claims(**{claim: number})))


NESTED = "[" * 2_500 + "]" * 2_500


@pytest.mark.parametrize(
    "make",
    [
        lambda: signed(claims(deep=NESTED)),
        lambda: signed(claims(), '{"alg":"HS256","deep":' + NESTED + "}"),
        lambda: signed(NESTED),
        lambda: signed(claims(), "[]"),
        lambda: signed("7"),
        lambda: signed(claims(), '{"alg":["HS256"]}'),
        lambda: signed(claims(), '{"alg":"HS256","b64":false,"crit":["b64"]}'),
        lambda: signed(claims(), '{"alg":"HS256","kid":[1]}'),
        lambda: signed(claims(sub="7")),
        lambda: signed(claims(sub="[]")),
        lambda: signed(claims(aud="7", iss="[]")).replace(".", "..", 1),
    ],
)
async def test_a_token_of_any_shape_is_refused(make: Callable[[], str]) -> None:
    with pytest.raises(UnauthorizedError):
        await identify(make())


async def test_the_signature_of_these_tests_is_a_right_one() -> None:
    assert (await identify(signed(claims()))).user == USER
    assert (await identify(signed(claims(exp=f"{SOON}.5")))).expires_at == SOON + 0.5


@pytest.mark.parametrize(
    ("said", "session"),
    [
        ({}, ""),
        ({"sid": '"browser"', "jti": '"one"'}, "browser"),
        ({"sid": "17", "jti": '"one"'}, "17"),
        ({"sid": "0"}, "0"),
        ({"jti": "17"}, "17"),
        ({"sid": "null", "jti": '"one"'}, "one"),
        ({"sid": '""', "jti": "null"}, ""),
        ({"sid": '"' + "x" * 1_000 + '"'}, "x" * 1_000),
        ({"sid": '"' + "x" * 1_001 + '"', "jti": '"one"'}, "one"),
        ({"sid": "1" * 1_001}, ""),
    ],
)
async def test_a_session_is_called_as_its_issuer_wrote_it(said: dict[str, str], session: str) -> None:
    assert (await identify(signed(claims(**said)))).session == session


@pytest.mark.parametrize("claim", ["sid", "jti"])
@pytest.mark.parametrize("said", ["true", "false", "1.5", "[]", "{}"])
async def test_a_session_that_is_no_name_is_refused(claim: str, said: str) -> None:
    with pytest.raises(UnauthorizedError, match=f"'{claim}' is neither a text nor a whole number"):
        await identify(signed(claims(**{claim: said})))
