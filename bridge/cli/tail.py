"""``sse-bridge tail``: a user's events in the terminal, through the gateway's own session, without HTTP."""

import asyncio
import json
from collections.abc import Callable
from uuid import UUID

import click

from bridge.catalogs import load_configured
from bridge.cli.console import escaped, plain, printable
from bridge.gateway.refusal import RequestRefusedError
from bridge.gateway.request import FILTERS, wanted
from bridge.model.errors import SettingsError, require_extra
from bridge.runtime.command_names import command
from bridge.settings import StreamSettings

_SHORT = {"categories": ["-c"]}


def request_filters(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each filter of a request to the gateway, under the same name."""
    for one in reversed(FILTERS):
        names = [f"--{one.name}", *_SHORT.get(one.name, [])]
        help_ = "Only these (comma-separated or repeated).  [default: all]"
        command = click.option(*names, one.name, multiple=True, help=help_)(command)
    return command


@click.command()
@click.argument("user_id")
@request_filters
@click.option("--from-start", is_flag=True, help="First show everything that is kept for replay.")
@click.option("--last-event-id", type=click.UUID, help="First show what came after this event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: id, type, data.")
def tail(user_id: str, from_start: bool, last_event_id: UUID | None, as_json: bool, **filters: tuple[str, ...]) -> None:
    r"""Follow a user's events in the terminal, as a browser would get them.

    Shows the user's own events and the broadcasts, each once, also across a restart of Redis. It is a gateway's
    session on this terminal: it needs the extra 'gateway' and a Redis (BRIDGE_REDIS_URL or BRIDGE_BROKER_URL), but
    no running gateway and no token. Ctrl-C ends it.

    \b
    Examples:
      sse-bridge tail 0190f0a1-0000-7000-8000-000000000001
      sse-bridge tail 0190f0a1-0000-7000-8000-000000000001 -c import,portfolio --from-start
      sse-bridge tail 0190f0a1-0000-7000-8000-000000000001 --json | jq .data

    Exit codes: 130 ended by Ctrl-C, 1 Redis does not answer at the start, 2 wrong use or settings.
    """
    if from_start and last_event_id:
        raise click.UsageError("Give --from-start or --last-event-id, not both.")
    settings, registry = load_configured(StreamSettings)
    user = registry.users.parse(user_id.strip())
    require_extra("gateway", command("tail"), "jwt", "starlette")
    from bridge.cli.stream_follower import Follower

    try:
        chosen = wanted(filters.__getitem__, registry)
    except RequestRefusedError as error:
        raise SettingsError(str(error)) from None
    follower = Follower(settings, registry, print_event=_print_json if as_json else _print_pretty)
    asyncio.run(follower.run(user, wanted=chosen, from_start=from_start, last_event_id=last_event_id))


def _print_json(event_id: str, event_type: str, data: str) -> None:
    # The data is JSON already, and goes through with its very numbers.
    click.echo(escaped(f'{{"id":{json.dumps(event_id or None)},"type":{json.dumps(event_type)},"data":{data}}}'))


def _print_pretty(event_id: str, event_type: str, data: str) -> None:
    fields = json.loads(data)
    shown = "  ".join(f"{click.style(printable(key), dim=True)} {plain(value)}" for key, value in fields.items())
    colour = "yellow" if event_type == "stream.reset" else "cyan"
    kind = click.style(printable(event_type), fg=colour, bold=True)
    click.echo(f"{kind}  {shown}  {click.style(printable(event_id), dim=True)}")
