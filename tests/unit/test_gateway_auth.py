"""Who is asking: tokens that count, tokens that do not, and what development mode refuses."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.requests import HTTPConnection

from bridge.gateway.auth import TokenAuthenticator, Trusted, authenticator
from bridge.gateway.jwks import FETCH_PAUSE_S, FRESH_S, IssuerKeys
from bridge.gateway.refusal import RequestRefusedError
from bridge.model.counting import Counters
from bridge.model.errors import SettingsError, UnauthorizedError
from bridge.settings import Settings, issuers

SECRET = "a secret of at least thirty-two bytes"
USER = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def request(
    token: str | None = None,
    *,
    cookie: str | None = None,
    client: str | None = "127.0.0.1",
    server: str | None = "127.0.0.1",
    host: str = "localhost:8000",
    query: str = "",
) -> HTTPConnection:
    headers = [(b"host", host.encode())]
    headers += [(b"authorization", f"Bearer {token}".encode())] if token is not None else []
    headers += [(b"cookie", cookie.encode())] if cookie else []
    return HTTPConnection(
        {
            "type": "http",
            "headers": headers,
            "query_string": query.encode(),
            "client": (client, 5000) if client else None,
            "server": (server, 8000) if server else None,
        }
    )


def claims(**changes: Any) -> dict[str, Any]:
    found = {"sub": str(USER), "exp": int(time.time()) + 60, **changes}
    return {name: value for name, value in found.items() if value is not None}


def signed(algorithm: str = "HS256", key: Any = SECRET, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers=headers)


async def identify(token: str, **settings: Any) -> UUID:
    door = authenticator(Settings(jwt_secret=SECRET, **settings))
    return (await door.identify(request(token))).user


async def test_a_good_token_names_its_user_and_its_end() -> None:
    principal = await authenticator(Settings(jwt_secret=SECRET)).identify(request(signed(exp=4_000_000_000)))
    assert (principal.user, principal.expires_at) == (USER, 4_000_000_000)


async def test_the_cookie_counts_where_no_header_is_sent_and_the_header_wins() -> None:
    door = authenticator(Settings(jwt_secret=SECRET, jwt_cookie="session"))
    other = uuid4()
    assert (await door.identify(request(cookie=f"session={signed()}"))).user == USER
    both = request(signed(sub=str(other)), cookie=f"session={signed()}")
    assert (await door.identify(both)).user == other
    with pytest.raises(UnauthorizedError):
        await door.identify(request(cookie=f"access_token={signed()}"))


def _unsigned() -> str:
    parts = [json.dumps({"alg": "none", "typ": "JWT"}), json.dumps(claims())]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts) + "."


@pytest.mark.parametrize(
    "token",
    [
        _unsigned(),
        _unsigned().replace("none", "None"),
        signed(key="another secret of thirty-two bytes"),
        signed("HS384", SECRET * 2),
        signed("RS256", RSA),
        signed(exp=int(time.time()) - 1),
        signed(exp=None),
        signed(exp="soon"),
        signed(exp=float("inf")),
        signed(sub=None),
        signed(sub="nobody"),
        signed(sub=""),
        signed(nbf=int(time.time()) + 600),
        signed()[:-2],
        "a.b.c",
        "é.é.é",
        "." * 5000,
    ],
)
async def test_a_bad_token_is_refused(token: str) -> None:
    with pytest.raises(UnauthorizedError) as refused:
        await identify(token)
    assert token not in str(refused.value)


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "moment",
    [1_800_000_000_000, 10**18, 10**400, float("nan"), float("inf"), -1, "9999999999", "٣", True, [], {}],
    ids=repr,
)
async def test_what_is_no_time_in_seconds_is_refused_in_a_sentence(claim: str, moment: Any) -> None:
    with pytest.raises(UnauthorizedError, match=r"^The token.*\.$"):
        await identify(signed(**{claim: moment}))


async def test_a_token_in_milliseconds_is_told_from_one_that_has_expired() -> None:
    with pytest.raises(UnauthorizedError, match="The token's claim 'exp' is no time in seconds since 1970"):
        await identify(signed(exp=int(time.time()) * 1000))
    with pytest.raises(UnauthorizedError, match="not valid yet, by its claim 'nbf' or 'iat'"):
        await identify(signed(iat=int(time.time()) * 1000))


async def test_audience_and_issuer_are_checked_when_set() -> None:
    assert await identify(signed(aud="web", iss="us")) == USER
    assert await identify(signed(aud=["app", "web"]), jwt_audience="web") == USER
    assert await identify(signed(iss="us"), jwt_issuer="us") == USER
    for token in (signed(), signed(aud="app")):
        with pytest.raises(UnauthorizedError):
            await identify(token, jwt_audience="web")
    for token in (signed(), signed(iss="them")):
        with pytest.raises(UnauthorizedError):
            await identify(token, jwt_issuer="us")


def test_without_a_way_of_knowing_the_gateway_does_not_start() -> None:
    with pytest.raises(SettingsError, match="BRIDGE_JWT_SECRET or BRIDGE_JWT_JWKS_URL"):
        authenticator(Settings())


def test_a_public_key_is_no_shared_secret() -> None:
    with pytest.raises(SettingsError, match="cannot be a shared secret"):
        authenticator(Settings(jwt_secret=_pem().decode()))


# Public keys


def _pem() -> bytes:
    return RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _jwk(key: Any, algorithm: Any, key_id: str, **extra: str) -> dict[str, Any]:
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": key_id, **extra}


KEY_SET = [
    _jwk(RSA, jwt.algorithms.RSAAlgorithm, "rsa"),
    _jwk(EC, jwt.algorithms.ECAlgorithm, "ec"),
    _jwk(ED, jwt.algorithms.OKPAlgorithm, "ed"),
    {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")},
    _jwk(RSA, jwt.algorithms.RSAAlgorithm, "enc", use="enc"),
]


class Issuer:
    """A set of keys, and how often it was asked for."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys or KEY_SET)
        self.away = False
        self.asked = 0
        self.now_s = 1000.0
        keys = IssuerKeys(self.fetch, Counters(), lambda: self.now_s)

        async def find(header: dict[str, Any]) -> list[Any]:
            return [await keys.find(header)]

        self.door = TokenAuthenticator([Trusted(issuers.Issuer(), find)], "access_token")

    def fetch(self) -> jwt.PyJWKSet:
        self.asked += 1
        if self.away:
            raise jwt.PyJWKClientConnectionError("away")
        return jwt.PyJWKSet.from_dict({"keys": self.keys})

    async def identify(self, token: str) -> UUID:
        return (await self.door.identify(request(token))).user


@pytest.mark.parametrize(
    ("algorithm", "key", "key_id"), [("RS256", RSA, "rsa"), ("ES256", EC, "ec"), ("EdDSA", ED, "ed")]
)
async def test_each_public_key_algorithm_is_verified(algorithm: str, key: Any, key_id: str) -> None:
    issuer = Issuer()
    for _ in range(3):
        assert await issuer.identify(signed(algorithm, key, {"kid": key_id})) == USER
    assert issuer.asked == 1


def _hmac_with_public_key() -> str:
    """The classic confusion: the public key used as a shared secret. PyJWT refuses to make it."""
    parts = [json.dumps({"alg": "HS256", "kid": "rsa"}), json.dumps(claims())]
    signing = ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)
    signature = hmac.new(_pem(), signing.encode(), hashlib.sha256).digest()
    return f"{signing}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "make",
    [
        _hmac_with_public_key,
        lambda: signed("HS256", SECRET, {"kid": "oct"}),
        lambda: signed("RS256", RSA, {"kid": "enc"}),
        lambda: signed("RS256", RSA, {"kid": "ec"}),
        lambda: signed("RS512", RSA, {"kid": "rsa"}),
        lambda: signed("RS256", RSA, {"kid": "unknown"}),
        lambda: signed("RS256", RSA),
        _unsigned,
    ],
)
async def test_a_key_serves_its_own_algorithm_only(make: Callable[[], str]) -> None:
    with pytest.raises(UnauthorizedError):
        await Issuer().identify(make())


async def test_a_single_key_needs_no_id() -> None:
    assert await Issuer(KEY_SET[0]).identify(signed("RS256", RSA)) == USER


async def test_made_up_key_ids_do_not_make_us_ask_the_issuer_each_time_and_new_keys_are_found() -> None:
    issuer = Issuer(KEY_SET[0])
    for number in range(20):
        with pytest.raises(UnauthorizedError):
            await issuer.identify(signed("RS256", RSA, {"kid": f"made-up-{number}"}))
    assert issuer.asked == 1
    issuer.keys.append(KEY_SET[1])
    issuer.now_s += FETCH_PAUSE_S + 1
    assert await issuer.identify(signed("ES256", EC, {"kid": "ec"})) == USER
    assert issuer.asked == 2


async def test_known_keys_count_while_the_issuer_is_away_and_unknown_ones_mean_later() -> None:
    issuer = Issuer()
    token = signed("RS256", RSA, {"kid": "rsa"})
    issuer.away = True
    with pytest.raises(RequestRefusedError) as refused:
        await issuer.identify(token)
    assert refused.value.status == 503 and "Retry-After" in refused.value.headers
    issuer.away = False
    issuer.now_s += FETCH_PAUSE_S + 1
    assert await issuer.identify(token) == USER
    issuer.away = True
    issuer.now_s += FRESH_S * 3
    assert await issuer.identify(token) == USER


async def test_a_revoked_key_is_forgotten_once_the_keys_are_stale() -> None:
    issuer = Issuer()
    token = signed("RS256", RSA, {"kid": "rsa"})
    assert await issuer.identify(token) == USER
    issuer.keys = [KEY_SET[1]]
    issuer.now_s += FRESH_S + 1
    with pytest.raises(UnauthorizedError):
        await issuer.identify(token)


# Development mode


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:8000", "127.1.2.3", "[::1]:8000", "LOCALHOST"]
)
async def test_development_mode_answers_loopback(host: str) -> None:
    door = authenticator(Settings(gateway_dev=True))
    assert (await door.identify(request(host=host, query=f"user_id={USER}"))).user == USER


@pytest.mark.parametrize(
    "circumstances",
    [
        {"client": "192.0.2.1"},
        {"client": None},
        {"server": "192.0.2.1"},
        {"server": None},
        {"host": "evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "127.0.0.1.evil.example:8000"},
        {"host": "[::1].evil.example"},
        {"host": "[2001:db8::1]:8000"},
        {"host": ""},
        {"client": "::ffff:192.0.2.1"},
    ],
)
async def test_development_mode_refuses_whatever_is_not_loopback(circumstances: dict[str, Any]) -> None:
    door = authenticator(Settings(gateway_dev=True))
    with pytest.raises(RequestRefusedError) as refused:
        await door.identify(request(query=f"user_id={USER}", **circumstances))
    assert refused.value.status == 403


@pytest.mark.parametrize("query", ["", "user_id=", "user_id=None", "user_id=*", f"user_id={USER}&user_id={USER}"])
async def test_development_mode_needs_one_uuid(query: str) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        await authenticator(Settings(gateway_dev=True)).identify(request(query=query))
    assert refused.value.status == 422
