"""Waiting retries on a page: list, causes, trying them now, and burying them."""

from starlette.responses import Response

from bridge.ops.ask import Ask
from bridge.ops.desk import LISTED, Desk
from bridge.ops.fields import read_after, read_reason
from bridge.views.failed_events import retry_row


def retries(desk: Desk, ask: Ask) -> Response:
    """The retries that match, next due first, and their causes."""
    selection, cursor = desk.selection(ask), read_after(ask.query)
    page = desk.retries.page(selection, cursor=cursor, limit=LISTED)
    values = {"rows": [retry_row(waiting) for waiting in page.retries], "following": page.next}
    groups = desk.retries.groups(selection)
    return desk.listing(ask, "retries.html", selection, title="Waiting retries", groups=groups, **values)


def try_now(desk: Desk, ask: Ask) -> Response:
    """Make the retries that match due at once."""
    done = desk.retries.now(desk.selection(ask, of_form=True), who=ask.session.who)
    return desk.go_on(ask, "/retries", "due", done.changed, done.taken)


def cancel(desk: Desk, ask: Ask) -> Response:
    """Bury the retries that match."""
    reason = read_reason(ask.form)
    done = desk.retries.cancel(desk.selection(ask, of_form=True), reason=reason, who=ask.session.who)
    return desk.go_on(ask, "/retries", "buried", done.changed, done.taken)
