"""What the operators' commands share: the open store, filters of failed events, and a question before acting."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from bridge.catalogs import load_configured
from bridge.model.dead_letter import Cursor
from bridge.model.errors import WRITES_REFUSED, OperationRefusedError, StoreError, StoreRefusedError
from bridge.model.registry import Registry
from bridge.ports import Store
from bridge.settings import AccountingSettings, OperatorSettings, ServerSettings
from bridge.settings.urls import shown_url
from bridge.views.failed_events import LISTS, USER, read_cursor, read_filters


@contextmanager
def open_named_store(settings: AccountingSettings) -> Iterator[Store]:
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
        if isinstance(error, StoreRefusedError):
            raise type(error)(f"{said} used. {error}") from error
        raise type(error)(
            f"{said} read. Check that Redis runs and that BRIDGE_REDIS_URL or BRIDGE_BROKER_URL is right. {error}"
        ) from error


_FILTERS = (
    click.option("--type", "types", multiple=True, metavar="TYPE", help="Event class or wire name; repeatable."),
    click.option("--category", "categories", multiple=True, help="Category; repeatable."),
    click.option("--address", "addresses", multiple=True, help="order:42, user:ID or everyone; repeatable."),
    click.option("--user", "users", multiple=True, metavar="ID", help="Short for --address user:ID; repeatable."),
    click.option("--error", "error_classes", multiple=True, metavar="CLASS", help="Error class; repeatable."),
    click.option("--stage", "stages", multiple=True, help="Where it failed: extract, decode, …; repeatable."),
    click.option("--group", "groups", multiple=True, help="Root cause, from `groups`; repeatable."),
    click.option("--id", "ids", multiple=True, help="Letter or event; repeatable."),
    click.option("--since", metavar="TIME", help="Not before: 2h, 7d, or 2026-11-21T08:00:00Z."),
    click.option("--until", metavar="TIME", help="Not after."),
    click.option("--text", default="", help="Must occur in the error or the event."),
)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a command that gets ``chosen``: a Selection that is not yet resolved against a registry."""

    @wraps(command)
    def with_selection(since: str | None, until: str | None, text: str, **given: Any) -> None:
        """Run the command with one Selection in place of the options."""
        names = {**LISTS, USER: "users"}
        lists = {name: tuple(map(str, given.pop(attribute))) for name, attribute in names.items()}
        now_ms = int(time.time() * 1000)
        chosen = read_filters(lists, since=since or "", until=until or "", text=text, now_ms=now_ms)
        command(chosen=chosen, **given)

    decorated: Callable[..., None] = with_selection
    for option in reversed(_FILTERS):
        decorated = option(decorated)
    return decorated


yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
payloads_option = click.option("--payloads", is_flag=True, help="Show the events' content, which is masked otherwise.")


@contextmanager
def opened() -> Iterator[tuple[Store, OperatorSettings, Registry]]:
    """The store, the settings and the registry.

    Raises:
        StoreError: the store does not answer; names the place.
    """
    settings, registry = load_configured(OperatorSettings)
    with open_named_store(settings) as store:
        yield store, settings, registry


def confirm(what: str, number: int, *, yes: bool) -> None:
    """Ask before more than one thing is acted on.

    Raises:
        OperationRefusedError: the answer is no, or there is no terminal to ask.
    """
    if yes or number <= 1:
        return
    if not sys.stdin.isatty():
        raise OperationRefusedError(f"This would {what}. Add --yes to do it.")
    if not click.confirm(f"This will {what}. Go on?", err=True):
        raise OperationRefusedError("Nothing was done.")


def read_after(text: str | None) -> Cursor | None:
    """The cursor that an earlier page printed.

    Raises:
        SettingsError: it is invalid.
    """
    return read_cursor(text or "", f"--after {text!r} is no cursor; take it from the page before.")
