"""The issuer's public keys: fetched off the event loop, kept, and asked for again with restraint."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, build_opener

import jwt
import msgspec

from bridge.model.bounds import (
    KEY_SET_BYTES_MAX,
    LEVELS_READ_MAX,
    PARSER_ERRORS,
    SERVER_WORDS_CHARS_MAX,
    SIGNING_KEYS_MAX,
    quick_check,
)
from bridge.model.counting import Counters
from bridge.model.errors import StoreUnavailableError, UnauthorizedError
from bridge.model.plain_text import plain_logger
from bridge.runtime.supervision import SupervisedThread

logger = plain_logger(__name__)

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
"""Public-key algorithms that are accepted. A key's own type says which one of them it is for."""
FETCH_TIMEOUT_S = 5.0
"""How long a fetch may take in all; whoever sends more slowly is not waited for."""
FRESH_S = 300.0
"""Keys older than this are fetched again; until that succeeds, the old ones count."""
FETCH_PAUSE_S = 10.0
"""Fetches are at least this far apart, whatever key ids strangers make up."""

Key = tuple[Any, str]
"""A key for PyJWT, and the one algorithm that it may be used with."""


class KeysUnavailableError(StoreUnavailableError):
    """The issuer's keys could not be fetched."""


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Only the address in the settings is asked."""


def fetch_keys(url: str) -> jwt.PyJWKSet:
    """The keys at an address, of which no more is read than an issuer has reason to send. Blocks.

    Raises:
        Exception: whatever reading it raised; the message is for operators.
    """
    ends, document = time.monotonic() + FETCH_TIMEOUT_S, bytearray()
    with _answer(url) as answer:
        while chunk := answer.read1(KEY_SET_BYTES_MAX):
            document += chunk
            if len(document) > KEY_SET_BYTES_MAX:
                raise ValueError(f"What it sends has more than {KEY_SET_BYTES_MAX} bytes.")
            if time.monotonic() > ends:
                raise TimeoutError(f"It has not sent all within {FETCH_TIMEOUT_S:g} s.")
    return read_key_set(bytes(document))


def read_key_set(document: bytes) -> jwt.PyJWKSet:
    """The keys in a document of bounded size.

    Raises:
        ValueError: it is no key set.
        jwt.PyJWTError: it has no key that can be used.
    """
    quick_check(document, levels_max=LEVELS_READ_MAX, refuse=ValueError)
    try:
        keys = msgspec.json.decode(document, type=_KeySet).keys
    except PARSER_ERRORS:
        raise ValueError("What it sends is no set of keys (JWKS).") from None
    # PyJWT leaves out what is no key, and raises over an algorithm that is no text.
    told = (key for key in keys[:SIGNING_KEYS_MAX] if isinstance(key, dict) and isinstance(key.get("alg"), str | None))
    return jwt.PyJWKSet(list(told))


def _answer(url: str) -> Any:
    try:
        return build_opener(_NoRedirect).open(url, timeout=FETCH_TIMEOUT_S)
    except HTTPError as error:
        with error:  # it is the connection, too
            raise


class _KeySet(msgspec.Struct):
    keys: list[Any]


class IssuerKeys:
    """The keys at a JWKS address.

    Args:
        fetch: blocking; returns the key set, or raises.
        counters: where it is counted that this failed.
        clock: monotonic seconds.
    """

    def __init__(
        self, fetch: Callable[[], jwt.PyJWKSet], counters: Counters, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._counters = counters
        self._clock = clock
        self._keys: dict[str | None, Key] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()
        self._thread: SupervisedThread | None = None

    @classmethod
    def at(cls, url: str, counters: Counters) -> "IssuerKeys":
        """The keys at an address."""
        return cls(partial(fetch_keys, url), counters)

    async def find(self, header: dict[str, Any]) -> Key:
        """The key that a token's header names.

        Raises:
            UnauthorizedError: there is no such key.
            KeysUnavailableError: no key was ever fetched.
        """
        key_id = header.get("kid")
        if not (key_id is None or isinstance(key_id, str)):
            raise UnauthorizedError("The token's key id is no string.")
        if self._is_stale() or self._match(key_id) is None:
            await self._refresh(key_id)
        key = self._match(key_id)
        if key is None and self._fetched_at is None:
            raise KeysUnavailableError
        if key is None:
            raise UnauthorizedError("The token is signed with a key that the issuer does not list.")
        return key

    def _match(self, key_id: str | None) -> Key | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _is_stale(self) -> bool:
        return self._fetched_at is None or self._clock() - self._fetched_at > FRESH_S

    async def _refresh(self, key_id: str | None) -> None:
        async with self._lock:
            if not self._is_stale() and self._match(key_id):
                return  # another task has fetched it meanwhile
            if self._tried_at is not None and self._clock() - self._tried_at < FETCH_PAUSE_S:
                return
            self._tried_at = self._clock()
            try:
                found = await self._fetched()
            except Exception as error:  # whatever a stranger's answer makes others raise
                self._counters.keys_not_fetched += 1
                said = str(error)[:SERVER_WORDS_CHARS_MAX] or f"It has not sent its keys within {FETCH_TIMEOUT_S:g} s."
                logger.warning("bridge.gateway.keys_not_fetched error=%s: %s", type(error).__name__, said)
                return
            self._keys = {
                key.key_id: (key.key, key.algorithm_name)
                for key in found.keys
                if key.algorithm_name in ALGORITHMS
                and key.public_key_use in (None, "sig")
                and isinstance(key.key_id, str | None)
            }
            self._fetched_at = self._clock()

    async def _fetched(self) -> jwt.PyJWKSet:
        """What the fetch returns, from a thread for which neither clients nor the end of the process wait."""
        if self._thread is not None and self._thread.is_alive():
            raise TimeoutError  # one that hangs is enough
        found: Future[jwt.PyJWKSet] = Future()
        found.set_running_or_notify_cancel()

        def run() -> None:
            """Fetch, and hand over what came of it."""
            try:
                found.set_result(self._fetch())
            except Exception as error:
                found.set_exception(error)

        self._thread = SupervisedThread(run, name="bridge-gateway-keys", once=True)
        self._thread.start()
        return await asyncio.wait_for(asyncio.wrap_future(found), FETCH_TIMEOUT_S)
