"""``sse-bridge queues``: every queue that holds something of ours, of whichever registry; and moving it."""

from difflib import get_close_matches
from typing import Any

import click

from bridge.cli.console import console, json_option, marked, plain, print_json, table
from bridge.cli.filters import confirm, opened, yes_option
from bridge.model.errors import OperationRefusedError, SettingsError
from bridge.operations import Holding, move_queue, read_holdings
from bridge.views.words import counted, span


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def queues(ctx: click.Context, as_json: bool) -> None:
    r"""List every queue that holds something of ours, or move what is on one.

    Also those that the registry does not have any more, or never had: what waits on them, is claimed by workers, waits
    for a retry, or lies among the dead letters; and whether a worker consumes them.

    \b
    Examples:
      sse-bridge queues
      sse-bridge queues --json | jq '.[] | select(.registered | not)'
      sse-bridge queues move bridge.imports bridge.import --dry-run
      celery -A bridge.worker worker -Q bridge.imports       (or give it to a worker)

    Exit codes: 0 done, 1 failed, refused, or something is stranded, 2 wrong use or settings, 130 Ctrl-C.
    """
    if ctx.invoked_subcommand is not None:
        return

    with opened() as (store, settings, registry):
        found = read_holdings(store, settings, registry)
    if as_json:
        print_json(found)
    else:
        _print(found)
    ctx.exit(1 if any(holding.is_stranded for holding in found) else 0)


@queues.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--dry-run", is_flag=True, help="Say what would be moved, and move nothing.")
@click.option("--reason", default="", help="Why, for the log.")
@click.option("--anyway", is_flag=True, help="Also to a queue that only workers with another catalog consume.")
@yes_option
@json_option
def move(source: str, target: str, dry_run: bool, reason: str, anyway: bool, yes: bool, as_json: bool) -> None:
    r"""Move what waits on the queue FROM to the queue TO.

    Messages keep their order, and are put behind what waits on TO. On Redis each goes in one step with what the
    accounting says of it; on RabbitMQ each is taken away when TO has it. What workers have of FROM stays with them.

    Exit codes: 0 done, 1 failed or refused, 2 wrong use or settings, 130 Ctrl-C.
    """
    with opened() as (store, settings, registry):
        known = {holding.name: holding for holding in read_holdings(store, settings, registry)}
        _expect(source, list(known))
        _expect(target, [name for name, holding in known.items() if holding.registered or holding.workers])
        if known[target].elsewhere and not anyway:
            workers = plain(", ".join(known[target].workers))
            raise OperationRefusedError(
                f"Only workers with another catalog consume {target} ({workers}), and they dead-letter what that "
                "does not have: start a worker with this catalog there first, or add --anyway."
            )
        waiting = known[source].waiting
        what = f"move {counted(waiting, 'message')} from {source} to {target}"
        if dry_run:
            _tell(as_json, 0, waiting, f"This would {what}.")
            return
        confirm(what, waiting, yes=yes)
        moved = move_queue(store, source, target, reason=reason)
    left = f" {counted(moved.left, 'message')} came meanwhile: run it again." if moved.left else ""
    _tell(as_json, moved.messages, moved.left, f"Moved {counted(moved.messages, 'message')}.{left}")


def _tell(as_json: bool, moved: int, left: int, sentence: str) -> None:
    if as_json:
        print_json({"moved": moved, "left": left}, indent=None)
    else:
        click.echo(sentence)


def _expect(name: str, known: list[str]) -> None:
    """Refuse a name that is none of these.

    Raises:
        SettingsError: it is mistyped, or no worker would read that queue.
    """
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
        raise SettingsError(f"{name!r} is no queue that the registry has, holds something or is consumed; {hint}")


def _print(found: tuple[Holding, ...]) -> None:
    shown = table("queue", "waiting", "oldest", "claimed", "retries", "dead", "workers", "")
    for holding in found:
        shown.add_row(
            plain(holding.name),
            *_numbers(holding),
            plain(", ".join(holding.workers)),
            "" if holding.registered else "stranded" if holding.is_stranded else "not in the registry",
            style="bold red" if holding.is_stranded else None,
        )
    console().print(shown)
    for holding in found:
        if holding.advice:
            marked("fault", holding.advice)


def _numbers(holding: Holding) -> tuple[Any, ...]:
    return (
        f"{holding.waiting:,}",
        span(holding.oldest_age_s),
        "?" if holding.claimed is None else f"{holding.claimed:,}",
        f"{holding.retries:,}",
        f"{holding.dead:,}",
    )
