"""Several issuers: each one's tokens are verified with its own keys alone; secrets rotate; mistakes are sentences."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from bridge.catalogs.finance import REGISTRY
from bridge.gateway.auth import TokenAuthenticator, Trusted, authenticator
from bridge.gateway.jwks import IssuerKeys
from bridge.model.counting import Counters
from bridge.model.errors import BridgeError, SettingsError, UnauthorizedError
from bridge.model.registry.identifiers import INTS
from bridge.settings import GatewaySettings, load_settings
from bridge.settings.issuers import Issuer

USER = 7
OLD, NEW = "o" * 32, "n" * 32
SECRETS = {"shop": "s" * 32, "partner": "p" * 32}
PAIRS = {name: ed25519.Ed25519PrivateKey.generate() for name in ("https://id.example", "https://id.other.example")}


def key_set(key: ed25519.Ed25519PrivateKey, key_id: str) -> jwt.PyJWKSet:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return jwt.PyJWKSet([{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": key_id, "alg": "EdDSA", "use": "sig"}])


def trusted(issuer: Issuer, keys: IssuerKeys | str) -> Trusted:
    async def find(header: dict[str, Any]) -> list[Any]:
        return [(keys, "HS256")] if isinstance(keys, str) else [await keys.find(header)]

    return Trusted(issuer, find)


def two_kinds() -> TokenAuthenticator:
    """Two issuers with secrets and two with keys of their own, which have the same key id."""
    by_secret = [trusted(Issuer(issuer=name, secret=secret), secret) for name, secret in SECRETS.items()]
    by_key = [
        trusted(Issuer(issuer=name, jwks_url=name), IssuerKeys(lambda key=key: key_set(key, "1"), Counters()))
        for name, key in PAIRS.items()
    ]
    return TokenAuthenticator([*by_secret, *by_key], "access_token", INTS)


def public_pem(name: str) -> bytes:
    return (
        PAIRS[name]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def written(signer: str, **claims: Any) -> str:
    """A token with a signature of that issuer's, whatever it says of itself."""
    said = {"sub": str(USER), "exp": int(time.time()) + 600, **claims}
    if signer in SECRETS:
        return jwt.encode(said, SECRETS[signer], "HS256")
    return jwt.encode(said, PAIRS[signer], "EdDSA", headers={"kid": "1"})


def asked(token: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]})


async def believed(door: Any, token: str) -> bool:
    try:
        return bool((await door.identify(asked(token))).user == USER)
    except UnauthorizedError:
        return False


ISSUERS = [*SECRETS, *PAIRS]


@pytest.mark.parametrize("says", [*ISSUERS, "", "somebody", None, 7, ["shop"]])
@pytest.mark.parametrize("signer", ISSUERS)
async def test_a_token_is_believed_if_the_issuer_that_it_names_has_signed_it(signer: str, says: Any) -> None:
    token = written(signer, **({"iss": says} if isinstance(says, str) else {}))
    if not isinstance(says, str | None):
        token = forged({"alg": "HS256"}, {"sub": "7", "iss": says, "exp": 4_000_000_000})
    assert await believed(two_kinds(), token) is (signer == says)


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"x") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512", "EdDSA", "RS256"])
@pytest.mark.parametrize("issuer", ISSUERS)
async def test_no_algorithm_that_a_token_names_turns_a_public_key_into_a_secret(issuer: str, algorithm: str) -> None:
    header, claims = {"alg": algorithm, "kid": "1"}, {"sub": "7", "iss": issuer, "exp": 4_000_000_000}
    head = forged(header, claims).rpartition(".")[0]
    for key in (b"", public_pem(ISSUERS[2]), public_pem(ISSUERS[3]), b"1"):
        for digest in (hashlib.sha256, hashlib.sha512):
            signature = hmac.new(key, head.encode(), digest).digest()
            assert not await believed(two_kinds(), forged(header, claims, signature))


@given(st.permutations(ISSUERS), st.binary(max_size=60))
async def test_what_is_no_token_names_nobody(order: list[str], junk: bytes) -> None:
    token = junk.decode("latin-1")
    try:
        await two_kinds().identify(HTTPConnection({"type": "http", "headers": [(b"authorization", b"Bearer " + junk)]}))
    except BridgeError:
        return
    raise AssertionError(token)


def of(**settings: Any) -> Any:
    return authenticator(GatewaySettings(**settings), INTS)


async def test_the_old_secret_is_believed_beside_the_new_one_until_it_is_unset() -> None:
    old, new = (jwt.encode({"sub": "7", "exp": 4_000_000_000}, secret, "HS256") for secret in (OLD, NEW))
    both = of(jwt_secret=NEW, jwt_secret_old=OLD)
    assert await believed(both, old) and await believed(both, new)
    assert not await believed(both, jwt.encode({"sub": "7", "exp": 4_000_000_000}, "x" * 32, "HS256"))
    assert not await believed(of(jwt_secret=NEW), old)
    expired = jwt.encode({"sub": "7", "exp": 1}, OLD, "HS256")
    with pytest.raises(UnauthorizedError, match="expired"):
        await both.identify(asked(expired))


async def test_several_issuers_of_the_settings_are_told_apart_and_each_has_its_audience() -> None:
    listed = [
        {"issuer": "shop", "secret": NEW, "secret_old": OLD},
        {"issuer": "partner", "secret": SECRETS["partner"], "audience": "app"},
    ]
    door = of(jwt_issuers=json.dumps(listed))
    said = {"sub": "7", "exp": 4_000_000_000}
    for secret in (NEW, OLD):
        assert await believed(door, jwt.encode({**said, "iss": "shop"}, secret, "HS256"))
        assert not await believed(door, jwt.encode({**said, "iss": "partner", "aud": "app"}, secret, "HS256"))
    assert await believed(door, written("partner", iss="partner", aud="app"))
    assert not await believed(door, written("partner", iss="partner"))


async def test_a_token_tells_of_its_session_and_of_when_it_was_issued() -> None:
    door = of(jwt_secret=NEW)

    async def told(**claims: Any) -> tuple[str, float | None]:
        token = jwt.encode({"sub": "7", "exp": 4_000_000_000, **claims}, NEW, "HS256")
        found = await door.identify(asked(token))
        return found.session, found.issued_at

    assert await told(iat=1_700_000_000, jti="token", sid="browser") == ("browser", 1_700_000_000)
    assert await told(jti="token") == ("token", 0)
    assert await told() == ("", 0)
    assert await told(sid="x" * 1001) == ("", 0)
    assert await told(sid=17) == ("17", 0)
    for unusable in (True, ["17"], 1.5):
        with pytest.raises(UnauthorizedError, match="'sid' is neither a text nor"):
            await told(sid=unusable)


ONE = {"issuer": "shop", "secret": NEW}
WRONG: list[tuple[Any, str]] = [
    ("shop", "must be a JSON list such as"),
    ([], "names no issuer"),
    ([{"secret": NEW}], "the 1. issuer has no name"),
    ([{"issuer": "shop"}], "needs either a `jwks_url` or a `secret`"),
    ([{**ONE, "jwks_url": "https://id.example/keys"}], "needs either"),
    ([{"issuer": "shop", "secret": "short-secret"}], "of less than 32 bytes"),
    ([{"issuer": "shop", "jwks_url": "id.example/keys"}], "does not begin with https://"),
    ([{**ONE, "secret_new": OLD}], "unknown field `secret_new`"),
    ([ONE, {"issuer": "shop", "secret": OLD}], "names the issuer 'shop' twice"),
    ([ONE, {"issuer": "partner", "secret": OLD, "secret_old": NEW}], "two issuers have one secret"),
    ([{"issuer": "a", "jwks_url": "https://i/k"}, {"issuer": "b", "jwks_url": "https://i/k"}], "two issuers have one"),
]


@pytest.mark.parametrize(("given", "sentence"), WRONG)
def test_what_cannot_be_believed_is_a_sentence_without_a_secret(given: Any, sentence: str) -> None:
    text = given if isinstance(given, str) else json.dumps(given)
    with pytest.raises(SettingsError, match="BRIDGE_JWT_ISSUERS") as caught:
        load_settings({"BRIDGE_JWT_ISSUERS": text}, for_=GatewaySettings)
    assert sentence in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (NEW, OLD, "short-secret"))


@pytest.mark.parametrize("other", ["jwt_secret", "jwt_secret_old", "jwt_jwks_url", "jwt_audience", "jwt_issuer"])
def test_one_form_or_the_other(other: str) -> None:
    with pytest.raises(ValueError, match="not both"):
        GatewaySettings(jwt_issuers=json.dumps([ONE]), **{other: "https://id.example/of-32-bytes-or-more"})


def test_what_an_app_says_of_its_own_users_holds_for_each_issuer() -> None:
    assert authenticator(GatewaySettings(jwt_issuers=json.dumps([ONE])), REGISTRY.users)
