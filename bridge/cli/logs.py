"""Logs of several processes on one terminal: each line after the name of its process, in that process's colour."""

import os
import re
import threading
from collections.abc import Callable

import click

COLOURS = {"server": "magenta", "worker": "cyan", "gateway": "green", "producer": "yellow"}
NAME_WIDTH = 8

ROUTINE = re.compile(
    r"Task bridge\.\w+\[[\w-]+\] (received|succeeded)"
    r"|^INFO: +(Started server process|Waiting for application|Application (startup|shutdown) complete"
    r"|Shutting down|Waiting for (connections|background tasks) to|Finished server process)"
)
"""What a healthy worker says of each batch, and a healthy gateway of each step of its start and end."""

_lock = threading.Lock()


def logger(*, verbose: bool) -> Callable[[str, str], None]:
    """A printer of lines; without ``verbose`` it leaves out what is said when all goes well."""

    def log(name: str, line: str) -> None:
        if verbose or not ROUTINE.search(line):
            print_log(name, line)

    return log


def print_log(name: str, line: str) -> None:
    """Print one line of a process; safe to call from several threads."""
    prefix = click.style(f"{name:<{NAME_WIDTH}} |", fg=COLOURS.get(name, "white"))
    with _lock:
        click.echo(f"{prefix} {line}", color=False if os.environ.get("NO_COLOR") else None)
