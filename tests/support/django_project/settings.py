"""Settings, and the URLs."""

INSTALLED_APPS = ["bridge.contrib.django"]
BRIDGE = {"REDIS_URL": "redis://127.0.0.1:1/0", "BROKER_URL": "redis://127.0.0.1:1/0"}
DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"/no/such/folder/{alias}.sqlite"}
    for alias in ("default", "orders")
}
ROOT_URLCONF = "tests.support.django_project.urls"
USE_TZ = True
