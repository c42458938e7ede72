"""The bridge as an application of Django (5.2 and later): ``"bridge.contrib.django"`` in ``INSTALLED_APPS``.

Its settings are the dict ``BRIDGE`` of ``settings.py``, a key for each variable ``BRIDGE_*``, without that prefix::

    BRIDGE = {"REDIS_URL": "redis://cache:6379/0", "REGISTRY": "shop.events:registry"}

The environment wins where it says something else, as in each other process of the bridge: what a deployment sets there
counts everywhere, and ``manage.py check`` names the settings in which the two differ. With both, a container needs no
other settings.py than a laptop.
"""
