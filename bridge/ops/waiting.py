"""Waiting retries on a page: list, causes, trying them now, and burying them."""

from starlette.responses import Response

from bridge.model.pipeline import Stage
from bridge.ops.ask import Ask
from bridge.ops.desk import Desk
from bridge.ops.fields import given_filters, in_words, read_cursor, read_reason, write_selection

PAGE = 50


def retries(desk: Desk, ask: Ask) -> Response:
    """The retries that match, next due first, and their causes."""
    selection = desk.selection(ask)
    page = desk.retries.page(selection, cursor=read_cursor(ask.query), limit=PAGE)
    return desk.page(
        ask,
        "retries.html",
        title="Waiting retries",
        page=page,
        groups=desk.retries.groups(selection),
        filters=given_filters(ask.query),
        fixed=write_selection(selection),
        selection=in_words(selection),
        stages=[stage.value for stage in Stage],
        paged="after" in ask.query,
    )


def try_now(desk: Desk, ask: Ask) -> Response:
    """Make the retries that match due at once."""
    done = desk.retries.now(desk.selection(ask, of_form=True), who=ask.session.who)
    return desk.go_on(ask, "/retries", "due", done.changed, done.taken)


def cancel(desk: Desk, ask: Ask) -> Response:
    """Bury the retries that match."""
    reason = read_reason(ask.form)
    done = desk.retries.cancel(desk.selection(ask, of_form=True), reason=reason, who=ask.session.who)
    return desk.go_on(ask, "/retries", "buried", done.changed, done.taken)
