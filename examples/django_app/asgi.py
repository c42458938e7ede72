"""What an ASGI server runs: ``uvicorn examples.django_app.asgi:application``."""

import os

from django.core.asgi import get_asgi_application

from bridge.contrib.django import with_bridge  # bridge

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_app.settings")

application = with_bridge(get_asgi_application())  # bridge
