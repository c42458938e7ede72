"""``sse-bridge registry``: the catalog as a table, as JSON, or as the page docs/events.md."""

import click

from bridge.catalogs import load_configured
from bridge.cli.console import console, form_options, print_json, say, styled, table
from bridge.cli.documents import describe_registry, events_page
from bridge.model.registry import Registry
from bridge.settings import OperatorSettings


@click.command()
@form_options("markdown writes the page docs/events.md.")
def registry(form: str) -> None:
    r"""Show which events exist, and which domain event becomes which.

    Shows the catalog that BRIDGE_REGISTRY names, or else the built-in one. Ends with a gap report: types that no
    domain event is mapped to, which the worker therefore never publishes.

    \b
    Examples:
      sse-bridge registry
      sse-bridge registry --json | jq '.gaps'
      sse-bridge registry --format markdown > docs/events.md
      BRIDGE_REGISTRY=examples.shop.catalog:registry sse-bridge registry

    Exit codes: 0 shown, 2 the registry or a setting is wrong.
    """
    _, catalog = load_configured(OperatorSettings)
    if form == "json":
        print_json(describe_registry(catalog))
    elif form == "markdown":
        click.echo(events_page(catalog), nl=False)
    else:
        _print_table(catalog)


def _print_table(catalog: Registry) -> None:
    described = describe_registry(catalog)
    shown = table("type", "category", "domain event", "payload", "task", "queue")
    for row in described["events"]:
        sources = row["mappings"] or [{"domain_event": "-", "task": "-", "queue": "-"}]
        shown.add_row(
            styled("[bold]{}[/]", row["type"]),
            row["category"],
            "\n".join(source["domain_event"] for source in sources),
            ", ".join(row["payload_fields"]),
            "\n".join(source["task"] for source in sources),
            sources[0]["queue"],
            style=None if row["mappings"] else "yellow",
        )
    counts = described["statistics"]
    out = console()
    out.print(shown)
    out.print(
        f"{counts['total_event_types']} types in {len(counts['by_category'])} categories, "
        f"{counts['total_mappings']} mappings."
    )
    if described["gaps"]:
        say(f"Types without a mapping, never published: {', '.join(described['gaps'])}.", colour="yellow")
    else:
        out.print("No gaps: every type has a mapping.")
