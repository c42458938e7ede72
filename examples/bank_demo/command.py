"""``sse-bridge demo``: ``up``, a producer that imports a bank statement, and one page that shows it live."""

import os
import sys
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import click

from bridge.cli.console import FiniteRange, say
from bridge.cli.up import (
    local_settings,
    local_stack_options,
    logger,
    names_broker,
    start_bridge,
    wait_for_gateway,
    watch,
)
from bridge.local import LocalStack, OwnFolder
from examples.bank_demo.plan import DemoPlan
from examples.bank_demo.reading import SIZE_MAX_BYTES, read_statement
from examples.bank_demo.statement import StatementError

SAMPLE = Path(__file__).parent / "samples" / "statement.ofx"
ROWS_PER_S = 25.0


@click.command()
@local_stack_options
@click.option(
    "--file",
    "statement",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    default=SAMPLE,
    help="Bank statement to import: OFX, QFX or CSV.  [default: a sample]",
)
@click.option(
    "--speed",
    type=FiniteRange(0, 10_000),
    default=ROWS_PER_S,
    show_default=True,
    help="Transactions imported per second; 0 is as fast as possible.",
)
@click.option("--loop/--once", default=False, help="Begin again with an empty ledger when an import is done.")
@click.option("--open/--no-open", "open_page", default=True, help="Open the page in a browser, if there is a display.")
@click.pass_context
def demo(
    ctx: click.Context,
    port: int | None,
    data_dir: Path | None,
    redis_port: int | None,
    verbose: bool,
    broker_url: str | None,
    statement: Path,
    speed: float,
    loop: bool,
    open_page: bool,
) -> None:
    r"""See it work: `up`, a producer that imports a bank statement, and a live page.

    The producer is a small service with a SQLite ledger. It imports the statement, and emits a domain event for each
    thing that happens; the page shows the events as they arrive through the worker, Redis and the gateway. The import
    begins when the page is open. Drop any OFX, QFX or CSV file on the page to import that one.

    \b
    Examples:
      sse-bridge demo
      sse-bridge demo --file ~/Downloads/statement.qfx --speed 5
      sse-bridge demo --no-open --port 9000 --loop

    Exit codes: 0 stopped by SIGTERM, 130 by Ctrl-C, 1 a part did not start or ended by itself, 2 wrong use or settings.
    """
    _require_statement(statement)
    # The demo speaks the built-in catalog, to one made-up user, without tokens.
    settings = local_settings(port=port, broker_url=broker_url, dev=True, registry="", jwt_secret="", jwt_jwks_url="")
    with ExitStack() as exits:
        if data_dir:
            data_dir.mkdir(parents=True, exist_ok=True)
        folder = data_dir or exits.enter_context(OwnFolder("bridge-demo-")).path
        plan = DemoPlan(
            user_id=uuid4(),
            ledger=str((folder / "ledger.sqlite3").resolve()),
            statement=str(statement.resolve()),
            rows_per_s=speed,
            loop=loop,
        )
        stack = exits.enter_context(LocalStack(logger(verbose=verbose)))
        own_server = not names_broker(broker_url)
        embeds = own_server and not settings.redis_url
        kept = data_dir if embeds else None  # without a server of its own, only the ledger is
        settings = start_bridge(stack, settings, redis_port=redis_port, data_dir=kept, own_server=own_server)
        stack.add("gateway", ["-m", "examples.bank_demo.app", plan.as_argument()], settings)
        stack.add("producer", ["-m", "examples.bank_demo.producer", plan.as_argument()], settings)
        if wait_for_gateway(stack, settings):
            _announce(f"http://{settings.gateway_host}:{settings.gateway_port}/", stack, statement, open_page=open_page)
        watch(stack, ctx)


def _require_statement(path: Path) -> None:
    """Read the statement as its import will, so that a wrong file is refused before anything starts."""
    try:
        with path.open("rb") as file:
            read_statement(path.name, file.read(SIZE_MAX_BYTES + 1))
    except (StatementError, OSError) as error:
        raise click.BadParameter(str(error), param_hint="--file") from None


def _announce(address: str, stack: LocalStack, statement: Path, *, open_page: bool) -> None:
    say("The demo is up. Ctrl-C stops it.", bold=True)
    say(f"  page      {address}   (development mode: this machine only)", colour="green", bold=True)
    say(f"  file      {statement}")
    say("  processes " + ", ".join(f"{name} {pid}" for name, pid in stack.pids.items()))
    if not (open_page and _has_display() and webbrowser.open(address)):
        say("Open the page: the import begins then, and not before.", colour="yellow")


def _has_display() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
