"""Catalogs: the built-in one, and finding the one that the settings name."""

from bridge.catalogs.loading import BUILT_IN, load_configured, load_registry

__all__ = ["BUILT_IN", "load_configured", "load_registry"]
