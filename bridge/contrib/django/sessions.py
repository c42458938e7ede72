"""Who is asking, by the session of Django's own login: as every view sees it, and without a write."""

import random
import time
from contextlib import suppress
from functools import cached_property
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.backends.db import SessionStore as RowStore
from django.db import connections

from bridge.catalogs import load_registry
from bridge.gateway import AuthRequest, Principal, UnauthorizedError
from bridge.gateway.asking import Failure, Questions
from bridge.gateway.authenticator import IDENTIFY_TIMEOUT_S
from bridge.model.bounds import SESSION_CHARS_MAX, TOKEN_CHARS_MAX
from bridge.model.errors import IdError, SettingsError
from bridge.model.registry import IdType
from bridge.settings import CatalogSettings, load_settings

STREAM_S = 300.0
"""A stream ends after this time, and its browser comes back and is asked again: what has become of its user since?

It is the bound of whatever ends a session and is told to no gateway: another user who signs in without a sign-out, a
row that is deleted. Each stream costs a few queries in that time.
"""
SPREAD = 0.2
"""Of that time: by how much a stream may end sooner, by chance, so that who came at once does not come back at once."""
SIGN_IN = "This stream is for signed-in users; sign in first."


class SessionAuthenticator:
    """Believes the cookie of Django's sessions, whatever engine keeps them and whatever model the users are of.

    Who is not active, or changed the password since, is refused. The database is asked on threads, 32 at a time, and
    each closes its connection; nothing is written, so that no stream prolongs a session. Subclass it for more: override
    ``principal``.

    Args:
        users: what the ids are read as; default: as the registry says that the settings name.
    """

    def __init__(self, users: IdType | None = None) -> None:
        self._given = users
        self._questions = Questions()

    async def identify(self, request: AuthRequest) -> Principal:
        """See ``bridge.gateway.Authenticator``."""
        key = request.cookies.get(settings.SESSION_COOKIE_NAME, "")
        # What no engine makes is not asked for: some databases raise at a NUL.
        if not (0 < len(key) <= TOKEN_CHARS_MAX and key.isascii() and key.isprintable()):
            raise UnauthorizedError(SIGN_IN)
        answer = await self._questions.ask(IDENTIFY_TIMEOUT_S, self._look_up, key)
        if isinstance(answer, Failure):
            raise answer.error or TimeoutError(answer.why)
        assert isinstance(answer, Principal)  # noqa: S101  (as ``principal`` says)
        return answer

    def principal(self, user: Any, session: Any) -> Principal:
        """What a signed-in user may hear, and until when; runs in a thread, and may ask the database.

        Args:
            user: of the project's model of users.
            session: its session, of the project's engine.
        """
        name = session.session_key or ""
        return Principal(
            user=self._id_of(user),
            expires_at=min(_ends_at(session), time.time() + _stream_s()),
            session=name if len(name) <= SESSION_CHARS_MAX else "",
        )

    def _look_up(self, key: str) -> Principal:
        try:
            session = import_module(settings.SESSION_ENGINE).SessionStore(key)
            user = auth.get_user(SimpleNamespace(session=_AsRead(session.items())))
            if not (user.is_authenticated and getattr(user, "is_active", True)):
                raise UnauthorizedError(SIGN_IN)
            return self.principal(user, session)
        finally:
            connections.close_all()  # of this thread

    def _id_of(self, user: Any) -> Any:
        """The id as the registry's kind has it; one of another kind is left for the gateway to refuse."""
        with suppress(IdError):
            return self._users.parse(str(user.pk))
        return user.pk

    @cached_property
    def _users(self) -> IdType:
        return self._given or load_registry(load_settings(for_=CatalogSettings).registry).users


def __getattr__(name: str) -> SessionAuthenticator:
    """``authenticator``, for BRIDGE_GATEWAY_AUTHENTICATOR.

    Raises:
        SettingsError: there is no project whose users it could know.
    """
    if name != "authenticator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not apps.ready:
        raise SettingsError(
            "Django's sessions are believed in a Django project only: set DJANGO_SETTINGS_MODULE, or start the gateway "
            "by `manage.py bridge gateway`."
        )
    if not apps.is_installed("django.contrib.auth"):
        raise SettingsError(
            "Django's sessions name no user without django.contrib.auth in INSTALLED_APPS; "
            "BRIDGE_GATEWAY_AUTHENTICATOR can name an authenticator of your own."
        )
    return SessionAuthenticator()


class _AsRead(dict[str, Any]):
    """What a session holds, for Django to judge. It stays as it is: a stream's answer can carry no new cookie.

    Django renews a session that was signed with an older SECRET_KEY; whoever shows it would be signed out by that here.
    """

    def cycle_key(self) -> None:
        """Not from here."""

    def flush(self) -> None:
        """Nor this: the next view does it."""


def _stream_s() -> float:
    return STREAM_S * random.uniform(1 - SPREAD, 1)  # noqa: S311  (no secret)


def _ends_at(session: Any) -> float:
    """When a session ends, in Unix time: as its row says, or else as if it had been used just now."""
    if isinstance(session, RowStore):
        rows = session.model.objects.filter(pk=session.session_key)
        if ends := rows.values_list("expire_date", flat=True).first():
            return float(ends.timestamp())
    return float(session.get_expiry_date().timestamp())
