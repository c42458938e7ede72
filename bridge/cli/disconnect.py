"""``sse-bridge disconnect``: a user's streams, or a session's, end everywhere."""

import click

from bridge.cli.console import json_option, print_json
from bridge.cli.filters import opened
from bridge.operations import disconnect_session, disconnect_user
from bridge.runtime.identity import who_am_i
from bridge.views.words import counted


@click.command()
@click.option("--user", metavar="ID", help="All streams of this user.")
@click.option("--session", metavar="TEXT", help="The streams of this session, as the authenticator names it.")
@click.option("--reason", default="", help="Why, for the log.")
@json_option
def disconnect(user: str | None, session: str | None, reason: str, as_json: bool) -> None:
    r"""End a user's streams, or a session's, on every gateway, and refuse what was granted before.

    Open streams end within a second. Tokens that were issued before, and tickets, are refused for
    BRIDGE_DISCONNECT_TTL_S; an authenticator of your own is asked again, and must say no by itself. Who did it is kept
    in the log of operations (`sse-bridge dead log`); of a session a digest.

    \b
    Examples:
      sse-bridge disconnect --user 0190f0a1-0000-7000-8000-000000000001 --reason "account closed"
      sse-bridge disconnect --session k2j4h5

    Exit codes: 0 done, 1 failed or refused, 2 wrong use or settings.
    """
    if (user is None) == (session is None):
        raise click.UsageError("Give --user or --session.")
    logged = {"who": who_am_i(), "reason": reason}
    with opened() as (store, _, registry):
        if user is not None:
            done = disconnect_user(store, registry, registry.users.parse(user), **logged)
        else:
            done = disconnect_session(store, session or "", **logged)
    if as_json:
        print_json({"disconnected": done.target, "gateways": done.gateways}, indent=None)
        return
    heard = f"{counted(done.gateways, 'gateway process', plural='gateway processes')} heard it"
    click.echo(f"Disconnected {done.target}: {heard}; one without Redis ends its streams when it has it again.")
