"""Dead letters and waiting retries on pages: lists, causes, one letter, discarding, trying now, dead-lettering."""

from starlette.responses import Response

from bridge.operations import Selection, letter_as_dict
from bridge.ops.page_context import LISTED, PageContext, PageRequest, read_after, read_reason, up_to_now
from bridge.views.failed_events import letter_facts, letter_row, retry_row, write_filters

SAMPLES = 5
HITS = 10


def dead_list(context: PageContext, request: PageRequest) -> Response:
    """The letters that match, newest first."""
    selection, cursor = context.selection(request), read_after(request.query)
    page = context.letters.page(selection, cursor=cursor, limit=LISTED)
    rows = [letter_row(at_ms, letter) for at_ms, letter in page.letters]
    return context.listing(request, "dead.html", selection, title="Dead letters", rows=rows, following=page.next)


def dead_groups(context: PageContext, request: PageRequest) -> Response:
    """The letters that match, by cause."""
    selection = context.selection(request)
    groups = context.letters.groups(selection)
    return context.page(
        request,
        "groups.html",
        title="Causes of dead letters",
        groups=groups,
        total=sum(group.count for group in groups),
    )


def dead_group(context: PageContext, request: PageRequest) -> Response:
    """One cause, with some of its letters."""
    selection = Selection(groups=(request.path["group"],))
    groups = context.letters.groups(selection)
    if not groups:
        message = f"No dead letter has the cause {request.path['group']}: they were redriven or discarded."
        return context.gone(request, message)
    page = context.letters.page(selection, limit=SAMPLES)
    return context.page(
        request,
        "group.html",
        title=f"Cause {groups[0].group}",
        group=groups[0],
        hit=context.letters.addresses(selection),
        hits_shown=HITS,
        page=page,
        fixed=write_filters(selection),
    )


def letter(context: PageContext, request: PageRequest) -> Response:
    """One letter, whole; its contents masked unless the asker may see them."""
    letter_id = request.path["letter_id"]
    kept = context.store.kept.look_up(letter_id)
    found, tombstone = kept.letter, kept.tombstone
    if found is None:
        words = "it was redriven, evicted or never dead-lettered."
        if tombstone is not None:
            words = f"{tombstone.who} discarded it at {tombstone.at}: {tombstone.reason}"
        return context.gone(request, f"There is no dead letter {letter_id}: {words}")
    shown = letter_as_dict(found, payloads=request.payloads)
    return context.page(
        request,
        "letter.html",
        title="Dead letter",
        letter=found,
        facts=letter_facts(found),
        envelope=shown["envelope"],
        raw=found.raw.decode("utf-8", "backslashreplace") if request.payloads else shown["raw"],
        fixed=write_filters(Selection(ids=(letter_id,))),
    )


def discard_form(context: PageContext, request: PageRequest) -> Response:
    """What would be discarded, and the field for the reason."""
    selection = up_to_now(context.selection(request))
    number = sum(1 for _ in context.letters.ids(selection))
    return context.page(
        request,
        "discard.html",
        title="Discard dead letters",
        number=number,
        selection=str(context.selection(request)),
        fixed=write_filters(selection),
    )


def discard(context: PageContext, request: PageRequest) -> Response:
    """Discard the letters that match."""
    reason = read_reason(request.form)
    done = context.letters.discard(context.selection(request, of_form=True), reason=reason, who=request.session.who)
    return context.go_on(request, "/dead", "discarded", done.discarded, done.in_redrive)


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
