"""``Issuer``: who may issue tokens, and what they are verified with; read from ``BRIDGE_JWT_ISSUERS``. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from bridge.model.bounds import PARSER_ERRORS
from bridge.settings.processes import SECRET_BYTES_MIN

FORM = (
    'a JSON list such as [{"issuer": "https://id.example", "jwks_url": "https://id.example/keys"}, '
    '{"issuer": "shop", "secret": "…", "secret_old": "…", "audience": "app"}]'
)
_ADDRESS = re.compile(r"(?i:https?)://[^/\s]\S*")


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One issuer of tokens: public keys at an address, or a secret that is shared with it."""

    issuer: str = ""  # what its tokens name as ``iss``; empty: not checked, where there is no other
    jwks_url: str = ""
    secret: str = ""
    secret_old: str = ""  # the one before, still believed while it is here
    audience: str = ""  # what its tokens must name as ``aud``; empty: not checked

    @property
    def secrets(self) -> tuple[str, ...]:
        """The newest first."""
        return tuple(filter(None, (self.secret, self.secret_old)))


def read_issuers(text: str) -> tuple[Issuer, ...]:
    """The issuers in the setting.

    Raises:
        ValueError: they cannot be believed as they stand; a sentence each, a line each, without any secret.
    """
    try:
        found = msgspec.json.decode(text, type=tuple[Issuer, ...])
    except PARSER_ERRORS as error:
        # The parser names places and fields, never a value.
        raise ValueError(f"BRIDGE_JWT_ISSUERS must be {FORM}: {error}.") from None
    if faults := list(issuers_faults(found)):
        raise ValueError("\n".join(faults))
    return found


def issuers_faults(issuers: Sequence[Issuer]) -> Iterator[str]:
    """Why these issuers cannot be believed side by side, one sentence each."""
    if not issuers:
        yield f"BRIDGE_JWT_ISSUERS names no issuer; unset it, or write {FORM}."
    for number, one in enumerate(issuers, start=1):
        yield from (f"BRIDGE_JWT_ISSUERS: the {number}. issuer {fault}" for fault in _faults_of(one))
    names = Counter(one.issuer for one in issuers)
    yield from (f"BRIDGE_JWT_ISSUERS names the issuer {name!r} twice." for name, times in names.items() if times > 1)
    keys = Counter(key for one in issuers for key in {*one.secrets, *filter(None, (one.jwks_url,))})
    if any(times > 1 for times in keys.values()):
        yield "BRIDGE_JWT_ISSUERS: two issuers have one secret or one jwks_url: each could write the other's tokens."


def _faults_of(one: Issuer) -> Iterator[str]:
    if not one.issuer:
        yield "has no name; give `issuer`, as its tokens have it in `iss`."
    if bool(one.jwks_url) == bool(one.secret):
        yield "needs either a `jwks_url` or a `secret`."
    if one.jwks_url and not _ADDRESS.fullmatch(one.jwks_url):
        yield "has a `jwks_url` that does not begin with https:// or http://."
    for name, secret in (("secret", one.secret), ("secret_old", one.secret_old)):
        if secret and len(secret.encode()) < SECRET_BYTES_MIN:
            yield f"has a `{name}` of less than {SECRET_BYTES_MIN} bytes; make one with: openssl rand -hex 32."
    if one.secret_old and not one.secret:
        yield "has a `secret_old` without a `secret`."
