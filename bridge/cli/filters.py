"""What the commands about dead letters and retries share: filters, confirmation, and how letters are shown."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click
import redis

from bridge.catalogs import load_configured
from bridge.cli.books import open_books
from bridge.cli.console import printable
from bridge.model.errors import OperationRefusedError, SettingsError
from bridge.model.registry import Registry
from bridge.operations.groups import Group
from bridge.operations.selection import FOR_EVER_MS, Selection, parse_time, shown_time
from bridge.redis_adapter import Cursor
from bridge.settings import Settings

_FILTERS = (
    click.option("--type", "types", multiple=True, metavar="TYPE", help="Event class or wire name; repeatable."),
    click.option("--category", "categories", multiple=True, help="Category; repeatable."),
    click.option("--user", "users", multiple=True, type=click.UUID, help="User id; repeatable."),
    click.option("--error", "error_classes", multiple=True, metavar="CLASS", help="Error class; repeatable."),
    click.option("--stage", "stages", multiple=True, help="Where it failed: extract, decode, …; repeatable."),
    click.option("--group", "groups", multiple=True, help="Root cause, from `groups`; repeatable."),
    click.option("--id", "ids", multiple=True, help="Letter or event; repeatable."),
    click.option("--since", metavar="TIME", help="Not before: 2h, 7d, or 2026-11-21T08:00:00Z."),
    click.option("--until", metavar="TIME", help="Not after."),
    click.option("--text", default="", help="Must occur in the error or the event."),
)

SPARKS = "▁▂▃▄▅▆▇█"


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a command that gets ``chosen``: a Selection that is not yet resolved against a registry."""

    @wraps(command)
    def with_selection(since: str | None, until: str | None, users: tuple[Any, ...], **given: Any) -> None:
        names = ("types", "categories", "error_classes", "stages", "groups", "ids", "text")
        now_ms = int(time.time() * 1000)
        chosen = Selection(
            users=tuple(str(user) for user in users),
            since_ms=parse_time(since, now_ms) if since else 0,
            until_ms=parse_time(until, now_ms) if until else FOR_EVER_MS,
            **{name: given.pop(name) for name in names},
        )
        command(chosen=chosen, **given)

    decorated: Callable[..., None] = with_selection
    for option in reversed(_FILTERS):
        decorated = option(decorated)
    return decorated


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
payloads_option = click.option("--payloads", is_flag=True, help="Show the events' content, which is masked otherwise.")


@contextmanager
def opened() -> Iterator[tuple[redis.Redis, Settings, Registry]]:
    """A client of the store, the settings and the registry.

    Raises:
        StoreError: the store does not answer; names the place.
    """
    settings, registry = load_configured("cli")
    with open_books(settings) as client:
        yield client, settings, registry


def confirm(what: str, number: int, *, yes: bool) -> None:
    """Ask before more than one thing is acted on.

    Raises:
        OperationRefusedError: the answer is no, or there is nobody to ask.
    """
    if yes or number <= 1:
        return
    if not sys.stdin.isatty():
        raise OperationRefusedError(f"This would {what}. Add --yes to do it.")
    if not click.confirm(f"This will {what}. Go on?", err=True):
        raise OperationRefusedError("Nothing was done.")


def read_cursor(text: str | None) -> Cursor | None:
    """The cursor that an earlier page printed.

    Raises:
        SettingsError: it is none.
    """
    try:
        return Cursor.parse(text) if text else None
    except ValueError:
        raise SettingsError(f"--after {text!r} is no cursor; take it from the page before.") from None


def print_groups(groups: tuple[Group, ...], what: str) -> None:
    """Root causes, a paragraph each: a cause is too long for a column."""
    from bridge.cli.console import console, styled

    out = console()
    for group in groups:
        cause = group.cause
        times = counted(group.count, "time")
        users = counted(group.users, "user", "" if group.users_exact else "+")
        tasks = ", ".join(f"{task.removeprefix('bridge.')} {count:,}" for task, count in group.tasks[:3])
        lines = [
            styled("[bold]{}[/]  [bold red]{}[/], {}  {}", group.group, times, users, sparkline(group.trend)),
            f"  what    {printable(f'{cause.error_class}: {cause.message}')}",
            f"  where   {printable(': '.join(filter(None, [cause.stage, cause.place])))}",
            f"  when    first {shown_time(group.first_ms)}, last {shown_time(group.last_ms)}",
            f"  types   {printable(tasks)}",
            f"  such as {printable(group.sample)}",
        ]
        for line in lines:
            out.print(line, soft_wrap=True)
        out.print()
    out.print(f"{counted(sum(group.count for group in groups), what)} of {counted(len(groups), 'cause')}.")


def counted(number: int, noun: str, mark: str = "") -> str:
    """A number with its noun: ``1 letter``, ``2,000 letters``; a mark such as + goes behind the number."""
    return f"{number:,}{mark} {noun}{'' if number == 1 and not mark else 's'}"


def sparkline(trend: tuple[int, ...]) -> str:
    """Numbers as a row of bars."""
    most = max(trend, default=0) or 1
    return "".join(SPARKS[round(number / most * (len(SPARKS) - 1))] for number in trend)
