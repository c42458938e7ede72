"""Catalogs: the built-in one, and finding the one that the settings name."""

from bridge.catalogs.loading import BUILT_IN, app_from_environment, load_configured, load_registry, set_up_django
