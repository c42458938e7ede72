"""``sse-bridge settings``: every setting with its range, reason and present value."""

import click

from bridge.cli.console import console, form_options, print_json, styled, table
from bridge.cli.documents import describe_settings, settings_page, shown_default
from bridge.settings import load_settings


@click.command()
@form_options("markdown writes the page docs/settings.md, which holds defaults only.")
def settings(form: str) -> None:
    r"""Show every setting with its range, reason and present value.

    Secrets and the passwords in URLs are masked. A value that differs from its default is marked.

    \b
    Examples:
      sse-bridge settings
      BRIDGE_STREAM_TTL_S=60 sse-bridge settings --json
      sse-bridge settings --format markdown > docs/settings.md

    Exit codes: 0 shown, 2 a setting is wrong (all faults are listed).
    """
    if form == "markdown":
        click.echo(settings_page(), nl=False)
        return
    rows = describe_settings(load_settings())
    if form == "json":
        print_json(rows)
        return
    shown = table("setting", "value", "range", "what it is for")
    for row in rows:
        changed = row["value"] != row["default"]
        value = shown_default(row["value"]) or "-"
        shown.add_row(
            row["name"],
            styled("[bold green]{} *[/]", value) if changed else value,
            " ".join((row["range"], row["unit"])),
            row["reason"],
        )
    out = console()
    out.print(shown)
    out.print("* differs from the default.")
