"""``Principal`` and ``Authenticator``: who is asking, and what finds that out; an application may have its own."""

from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.model.registry import Id, TopicAddress

TIME_MAX_S = 253_402_300_799
"""The end of the year 9999; a later Unix time is in milliseconds, or none, and what it is to end would never end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who is asking.

    Attributes:
        user: id of the user whose events are heard; of the registry's kind.
        expires_at: Unix time in seconds at which the right to hear them ends; None if it does not.
        topics: that they may hear beside their own events, or what decides it; topics are not delivered yet.
    """

    user: Id
    expires_at: float | None = None
    topics: Collection[TopicAddress] | Callable[[TopicAddress], bool] = ()


class AuthRequest(Protocol):
    """What an authenticator is given of a request; Starlette's own requests are such."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, in any case of letters."""
        ...

    @property
    def query_params(self) -> Mapping[str, str]:
        """Of the address; of a parameter that comes several times, the last."""
        ...

    @property
    def cookies(self) -> Mapping[str, str]:
        """By name."""
        ...

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """The ASGI scope, with what the application's middleware put there: a session, a user."""
        ...


class Authenticator(Protocol):
    """Finds out who is asking."""

    async def identify(self, request: Any) -> Principal:
        """Who is asking.

        Raises:
            UnauthorizedError: the client is not known.
            RequestRefusedError: it cannot be found out, or must not be answered.
        """
        ...
