"""Waiting retries on a page: list, causes, trying them now, and dead-lettering them."""

from starlette.responses import Response

from bridge.ops.fields import PageRequest, read_after, read_reason
from bridge.ops.page_context import LISTED, PageContext
from bridge.views.failed_events import retry_row


def retry_list(context: PageContext, request: PageRequest) -> Response:
    """The retries that match, next due first, and their causes."""
    selection, cursor = context.selection(request), read_after(request.query)
    page = context.retries.page(selection, cursor=cursor, limit=LISTED)
    values = {"rows": [retry_row(waiting) for waiting in page.retries], "following": page.next}
    groups = context.retries.groups(selection)
    return context.listing(request, "retries.html", selection, title="Waiting retries", groups=groups, **values)


def try_now(context: PageContext, request: PageRequest) -> Response:
    """Make the retries that match due at once."""
    done = context.retries.now(context.selection(request, of_form=True), who=request.session.who)
    return context.go_on(request, "/retries", "due", done.changed, done.taken)


def cancel(context: PageContext, request: PageRequest) -> Response:
    """Dead-letter the retries that match."""
    reason = read_reason(request.form)
    done = context.retries.cancel(context.selection(request, of_form=True), reason=reason, who=request.session.who)
    return context.go_on(request, "/retries", "buried", done.changed, done.taken)
