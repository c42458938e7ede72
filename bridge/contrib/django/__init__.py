"""The bridge as an application of Django (5.2 and later): ``"bridge.contrib.django"`` in ``INSTALLED_APPS``.

Its settings are the dict ``BRIDGE`` of ``settings.py``, a key for each variable ``BRIDGE_*``, without that prefix::

    BRIDGE = {"REDIS_URL": "redis://cache:6379/0", "REGISTRY": "shop.events:registry"}

The environment wins where it says something else, as in each other process of the bridge: what a deployment sets there
counts everywhere, and ``manage.py check`` names the settings in which the two differ. With both, a container needs no
other settings.py than a laptop.

``emit_on_commit(event)`` has an event committed with the running transaction, or not at all; see docs/outbox.md.
``with_bridge(get_asgi_application())`` serves the stream to the users of Django's login; see docs/django.md.
"""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.contrib.django.asgi import with_bridge
    from bridge.contrib.django.operations import NotifyOfOutbox
    from bridge.contrib.django.outbox import aemit_on_commit, drain, emit_on_commit
    from bridge.contrib.django.sessions import SessionAuthenticator

__all__ = ["NotifyOfOutbox", "SessionAuthenticator", "aemit_on_commit", "drain", "emit_on_commit", "with_bridge"]

# Django imports this package before there are any models.
_, __getattr__ = on_demand(
    __name__,
    {
        "bridge.contrib.django.outbox": "aemit_on_commit drain emit_on_commit",
        "bridge.contrib.django.operations": "NotifyOfOutbox",
        "bridge.contrib.django.asgi": "with_bridge",
        "bridge.contrib.django.sessions": "SessionAuthenticator",
    },
)
