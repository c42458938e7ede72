"""The project: users and sessions are Django's own. Lines that end in ``# bridge`` are all that was added."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent

SECRET_KEY = "change me: a secret of your own"  # noqa: S105
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "bridge.contrib.django",  # bridge
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "examples.django_app.urls"
WSGI_APPLICATION = "examples.django_app.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [FOLDER / "templates"]}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", FOLDER / "db.sqlite3"),
        # So that a transaction may read first, and then emit: docs/django.md.
        "OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE"},  # bridge
    }
}
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
USE_TZ = True
BRIDGE = {"REGISTRY": "examples.django_app.events:registry"}  # bridge
