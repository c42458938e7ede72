"""``sse-bridge outbox``: the statements that make the table of a transactional outbox."""

import click

from bridge.producer.outbox import DIALECTS, create_statements


@click.command()
@click.option("--ddl", "dialect", type=click.Choice([*DIALECTS]), required=True, help="The database; MariaDB is mysql.")
@click.option("--notify", is_flag=True, help="With the trigger that BRIDGE_OUTBOX_NOTIFY needs; PostgreSQL only.")
def outbox(dialect: str, notify: bool) -> None:
    r"""Print the statements that make the table of an outbox, for the application's own database.

    \b
    Examples:
      sse-bridge outbox --ddl postgresql | psql shop
      sse-bridge outbox --ddl mysql | mariadb shop
      sse-bridge outbox --ddl sqlite | sqlite3 shop.sqlite

    Exit codes: 0 printed, 2 wrong use.
    """
    try:
        statements = create_statements(dialect, notify=notify)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    for statement in statements:
        click.echo(f"{statement};")
