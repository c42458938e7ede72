"""Settings, and the URLs."""

INSTALLED_APPS = ["bridge.contrib.django"]
BRIDGE = {"REDIS_URL": "redis://127.0.0.1:1/0", "BROKER_URL": "redis://127.0.0.1:1/0"}
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/no/such/folder/production.sqlite"}}
ROOT_URLCONF = "tests.support.django_project.urls"
USE_TZ = True
