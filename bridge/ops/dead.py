"""Dead letters on pages: list, causes, one letter, and discarding."""

from starlette.responses import Response

from bridge.operations.letters import as_dict
from bridge.operations.selection import Selection
from bridge.ops.ask import Ask
from bridge.ops.desk import LISTED, Desk, up_to_now
from bridge.ops.fields import read_after, read_reason
from bridge.views.failed_events import letter_facts, letter_row
from bridge.views.filters import write_filters

SAMPLES = 5
USERS = 10


def dead_list(desk: Desk, ask: Ask) -> Response:
    """The letters that match, newest first."""
    selection, cursor = desk.selection(ask), read_after(ask.query)
    page = desk.letters.page(selection, cursor=cursor, limit=LISTED)
    rows = [letter_row(at_ms, letter) for at_ms, letter in page.letters]
    return desk.listing(ask, "dead.html", selection, title="Dead letters", rows=rows, following=page.next)


def dead_groups(desk: Desk, ask: Ask) -> Response:
    """The letters that match, by cause."""
    selection = desk.selection(ask)
    groups = desk.letters.groups(selection)
    return desk.page(
        ask,
        "groups.html",
        title="Causes of dead letters",
        groups=groups,
        total=sum(group.count for group in groups),
    )


def dead_group(desk: Desk, ask: Ask) -> Response:
    """One cause, with some of its letters."""
    selection = Selection(groups=(ask.path["group"],))
    groups = desk.letters.groups(selection)
    if not groups:
        return desk.gone(ask, f"No dead letter has the cause {ask.path['group']}: they were replayed or discarded.")
    page = desk.letters.page(selection, limit=SAMPLES)
    return desk.page(
        ask,
        "group.html",
        title=f"Cause {groups[0].group}",
        group=groups[0],
        hit=desk.letters.users(selection),
        users_shown=USERS,
        page=page,
        fixed=write_filters(selection),
    )


def letter(desk: Desk, ask: Ask) -> Response:
    """One letter, whole; its contents masked unless the asker may see them."""
    letter_id = ask.path["letter_id"]
    found = desk.letters.show(letter_id)
    if found is None:
        tombstone = desk.letters.tombstone(letter_id)
        words = "it was replayed, evicted or never buried."
        if tombstone is not None:
            words = f"{tombstone.who} discarded it at {tombstone.at}: {tombstone.reason}"
        return desk.gone(ask, f"There is no dead letter {letter_id}: {words}")
    shown = as_dict(found, payloads=ask.payloads)
    return desk.page(
        ask,
        "letter.html",
        title="Dead letter",
        letter=found,
        facts=letter_facts(found),
        envelope=shown["envelope"],
        raw=found.raw.decode("utf-8", "backslashreplace") if ask.payloads else shown["raw"],
        fixed=write_filters(Selection(ids=(letter_id,))),
    )


def discard_form(desk: Desk, ask: Ask) -> Response:
    """What would be discarded, and the field for the reason."""
    selection = up_to_now(desk.selection(ask))
    number = sum(1 for _ in desk.letters.ids(selection))
    return desk.page(
        ask,
        "discard.html",
        title="Discard dead letters",
        number=number,
        selection=str(desk.selection(ask)),
        fixed=write_filters(selection),
    )


def discard(desk: Desk, ask: Ask) -> Response:
    """Discard the letters that match."""
    reason = read_reason(ask.form)
    done = desk.letters.discard(desk.selection(ask, of_form=True), reason=reason, who=ask.session.who)
    return desk.go_on(ask, "/dead", "discarded", done.discarded, done.in_replay)
