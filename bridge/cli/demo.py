"""``sse-bridge demo``: runs ``examples/bank_demo``, which a checkout of the source has and a wheel has not."""

import sys
from importlib import import_module
from pathlib import Path

import click

from bridge.cli.app import WrongError

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = Path("examples", "bank_demo", "command.py")


def find_demo(checkout: Path) -> click.Command:
    """The example's own command; where there is no example, one that says how to get it."""
    if not (checkout / COMMAND).is_file():
        return missing
    sys.path.insert(0, str(checkout))  # before what else may call itself ``examples``
    command: click.Command = import_module(".".join(COMMAND.with_suffix("").parts)).demo
    return command


@click.command("demo", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def missing(arguments: tuple[str, ...]) -> None:  # noqa: ARG001  (whatever they are)
    r"""See it work: a bank statement is imported, live on a page.

    The demo is an example in the source of sse-bridge; this installation has the package alone.

    \b
    Examples:
      make demo            in a checkout of the source
      sse-bridge demo      the same, with the checkout's .venv active

    Exit codes: 2 the example is not here.
    """
    raise WrongError("The demo is no part of the installed package: run `make demo` in a checkout of the source.")


demo = find_demo(CHECKOUT)
