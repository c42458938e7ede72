"""Run in a process of its own: what the gateway makes of sessions that Django's login made; printed as JSON.

Arguments: the session engine's name, the kind of the registry's ids, and ``uuid`` for a model of users with such keys.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import django
from django.conf import settings

ENGINE, KIND, KEY = sys.argv[1:]
HERE = Path.cwd()
COOKIE = "shop_session"
MODEL = """
from uuid import uuid4
from django.contrib.auth.models import AbstractUser
from django.db import models


class Member(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid4)
"""


def configure(secret: str, *fallbacks: str) -> None:
    settings.configure(
        SECRET_KEY=secret,
        SECRET_KEY_FALLBACKS=fallbacks,
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
            *(["members"] if KEY == "uuid" else []),
        ],
        AUTH_USER_MODEL="members.Member" if KEY == "uuid" else "auth.User",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "db.sqlite3"}},
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": HERE / "cache"}
        },
        SESSION_ENGINE=f"django.contrib.sessions.backends.{ENGINE}",
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_FILE_PATH=HERE,
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        USE_TZ=True,
    )  # fmt: skip


if KEY == "uuid":
    (HERE / "members").mkdir()
    (HERE / "members" / "__init__.py").touch()
    (HERE / "members" / "models.py").write_text(MODEL)
    sys.path.insert(0, str(HERE))
configure("the first secret")
django.setup()

from django.contrib import auth  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.utils import timezone  # noqa: E402

from bridge.contrib.django import sessions  # noqa: E402
from bridge.gateway import Principal, UnauthorizedError  # noqa: E402
from bridge.model.registry.identifiers import IdType  # noqa: E402

call_command("migrate", verbosity=0, run_syncdb=True)
User: Any = auth.get_user_model()
authenticator = sessions.SessionAuthenticator(IdType.of({"int": int, "str": str, "uuid": UUID}[KIND]))


def sign_in(name: str) -> tuple[Any, HttpRequest]:
    """As Django's own login does it; the user, and a request with the session."""
    user = User.objects.create_user(name, password="before")
    request = HttpRequest()
    request.session = sessions.import_module(settings.SESSION_ENGINE).SessionStore()
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()
    return user, request


def asked(cookie: str | None, name: str = COOKIE) -> Principal | None:
    request: Any = SimpleNamespace(cookies={} if cookie is None else {name: cookie})
    try:
        principal = asyncio.run(authenticator.identify(request))
    except UnauthorizedError:
        return None
    return principal if (principal.expires_at or 0) > time.time() else None  # as the gateway judges


found: dict[str, object] = {}
ada, request = sign_in("ada")
key = request.session.session_key
principal = asked(key)
assert principal is not None
found["user"] = repr(principal.user) == repr({"int": int, "str": str, "uuid": UUID}[KIND](str(ada.pk)))
found["within five minutes"] = 239 < (principal.expires_at or 0) - time.time() <= 300
found["session"] = principal.session == key
hostile = [None, "", "0" * 32, "0" * 100_000, key + "\0", "ä" * 32]
found["no session"] = [*map(asked, hostile), asked(key, "sessionid")]

grace, other = sign_in("grace")
other.session.set_expiry(timezone.now() + timedelta(minutes=2))
other.session.save()
principal = asked(other.session.session_key)
assert principal is not None
found["as long as the session"] = 20 < (principal.expires_at or 0) - time.time() <= 120
other.session.set_expiry(timezone.now() - timedelta(seconds=1))
other.session.save()
found["expired"] = asked(other.session.session_key)

mary, third = sign_in("mary")
mary.is_active = False
mary.save()
found["not active"] = asked(third.session.session_key)
mary.is_active = True
mary.save()
found["active again"] = asked(third.session.session_key) is not None
mary.set_password("after")
mary.save()
found["password changed"] = asked(third.session.session_key)

joan, fourth = sign_in("joan")
joan.delete()
found["deleted"] = asked(fourth.session.session_key)

if ENGINE != "signed_cookies":  # there, whoever has kept a cookie has kept the session
    mary, fifth = sign_in("anne")
    key_of_anne = fifth.session.session_key
    auth.logout(fifth)
    found["signed out"] = asked(key_of_anne)

settings._wrapped = django.utils.functional.empty
configure("the second secret", "the first secret")
found["older secret"] = [asked(key) is not None, asked(key) is not None]
print(json.dumps(found))
