"""The issuer's public keys: fetched off the event loop, kept, and asked for again with restraint."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import jwt

from bridge.model.bounds import SIGNING_KEYS_MAX
from bridge.model.errors import StoreUnavailableError, UnauthorizedError
from bridge.model.plain_text import plain_logger

logger = plain_logger(__name__)

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
"""Public-key algorithms that are accepted. A key's own type says which one of them it is for."""
FETCH_TIMEOUT_S = 5.0
FRESH_S = 300.0
"""Keys older than this are fetched again; until that succeeds, the old ones count."""
FETCH_PAUSE_S = 10.0
"""Fetches are at least this far apart, whatever key ids strangers make up."""

Key = tuple[Any, str]
"""A key for PyJWT, and the one algorithm that it may be used with."""


class KeysUnavailableError(StoreUnavailableError):
    """The issuer's keys could not be fetched."""


class IssuerKeys:
    """The keys at a JWKS address.

    Args:
        fetch: blocking; returns the key set. Raises ``jwt.PyJWTError`` or OSError.
        clock: monotonic seconds.
    """

    def __init__(self, fetch: Callable[[], jwt.PyJWKSet], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str | None, Key] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    @classmethod
    def at(cls, url: str) -> "IssuerKeys":
        """The keys at an address."""
        client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=FETCH_TIMEOUT_S)
        return cls(lambda: client.get_jwk_set(refresh=True))

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
                found = await asyncio.to_thread(self._fetch)
            except (jwt.PyJWTError, OSError, ValueError) as error:
                logger.warning("bridge.gateway.keys_not_fetched error=%s", type(error).__name__)
                return
            self._keys = {
                key.key_id: (key.key, key.algorithm_name)
                for key in found.keys[:SIGNING_KEYS_MAX]
                if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig")
            }
            self._fetched_at = self._clock()
