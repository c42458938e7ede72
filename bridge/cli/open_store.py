"""What the operators' commands share: the open store, and foreign text on a terminal."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridge.cli.console import escaped
from bridge.model.errors import WRITES_REFUSED, StoreError
from bridge.settings import AccountingSettings, ServerSettings
from bridge.settings.shown_url import shown_url

if TYPE_CHECKING:
    from bridge.ports import Store


@contextmanager
def open_named_store(settings: AccountingSettings) -> Iterator["Store"]:
    """The store, with its place in every trouble.

    Raises:
        StoreError: it does not answer, or refuses; names the place.
    """
    from bridge import wiring

    with named_store(settings), wiring.open_store(settings) as store:
        yield store


@contextmanager
def named_store(settings: ServerSettings) -> Iterator[None]:
    """Have a store that does not answer named, with what to do.

    Raises:
        StoreError: in place of one that names no place.
    """
    try:
        yield
    except StoreError as error:
        said = f"The accounting at {shown_url(settings.store_url)} cannot be"
        if error.code in WRITES_REFUSED:
            raise type(error)(f"{said} written. {error}") from error
        raise type(error)(
            f"{said} read. Check that Redis runs and that BRIDGE_REDIS_URL or BRIDGE_BROKER_URL is right. {error}"
        ) from error


def plain(text: str) -> str:
    """Foreign text for a terminal: on one line, and without control characters."""
    return text if text.isprintable() else escaped(json.dumps(text))
