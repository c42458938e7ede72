"""What a WSGI server runs; the gateway is a process beside it then: ``manage.py bridge gateway``."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_app.settings")

application = get_wsgi_application()
