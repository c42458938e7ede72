"""Starlette's ``TestClient``, which asks for httpx2 by a warning where httpx is installed."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

__all__ = ["TestClient"]
