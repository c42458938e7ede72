"""Redrives on pages: choosing, the dry run, beginning, watching, stopping and resuming."""

import threading
import time
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from starlette.responses import Response

from bridge.model.errors import OperationRefusedError
from bridge.model.log_entry import LogEntry
from bridge.model.redrive import RedriveState, RedriveStatus
from bridge.operations import MAX_FAILURES_DEFAULT, Expected, Selection
from bridge.ops.page_context import LISTED, PageContext, PageRequest, read_number, up_to_now
from bridge.runtime.supervision import SupervisedThread
from bridge.views.failed_events import DryRun, write_filters

OUTCOMES = {
    Expected.PUBLISHED: "Would be published",
    Expected.DUPLICATE: "Were published before",
    Expected.SKIPPED: "Have no recipient",
    Expected.FAILED: "Would fail again",
    Expected.STALE: "Stale, to be discarded",
    Expected.RETURNED: "Would go back whole",
    Expected.UNSENDABLE: "Cannot be sent",
}
"""What a dry run says of each outcome."""
DRY_RUN_MAX = 2000
"""Letters of a dry run; the command line runs all of them."""
DRY_RUN_S = 20.0
CANARY_DEFAULT = 10
_dry_run_slot = threading.Lock()
"""Extractors are the team's code, and one that hangs cannot be ended: at most one dry run hangs with it."""


def redrives(context: PageContext, request: PageRequest) -> Response:
    """The newest redrives."""
    return context.page(request, "redrives.html", title="Redrives", found=context.redrives.newest(LISTED))


def redrive_form(context: PageContext, request: PageRequest) -> Response:
    """Which letters a redrive would send, and how."""
    return _form(context, request, context.selection(request), None)


def dry_run(context: PageContext, request: PageRequest) -> Response:
    """The same form, with what would happen."""
    selection = context.selection(request, of_form=True)
    return _form(context, request, selection, _foresee(context, selection))


def begin(context: PageContext, request: PageRequest) -> Response:
    """Begin a redrive, and run it in this process."""
    selection = context.selection(request, of_form=True)
    rate = read_number(request.form, "rate", "The rate", low=0.01, high=1_000_000)
    canary = read_number(request.form, "canary", "The canary", low=0, high=1_000_000)
    percent = read_number(request.form, "max_failures", "The share of failures", low=0, high=100)
    redrive_id = context.redrives.begin(
        selection,
        rate=rate or 0,
        canary=int(canary or 0),
        max_failures=None if percent is None else percent / 100,
        who=request.session.who,
    )
    context.jobs.start(redrive_id, who=request.session.who)
    return context.go_on(request, f"/replays/{redrive_id}")


def redrive(context: PageContext, request: PageRequest) -> Response:
    """One redrive and how far it is."""
    redrive_id = request.path["redrive_id"]
    status = context.redrives.status(redrive_id)
    if status is None:
        message = f"There is no redrive {redrive_id}: redrives are forgotten after 30 days."
        return context.gone(request, message)
    return context.page(request, "redrive.html", title=f"Redrive {redrive_id}", **_shown(context, status))


def progress(context: PageContext, request: PageRequest, redrive_id: str) -> str:
    """The part of a redrive's page that lives on; empty if there is no such redrive."""
    status = context.redrives.status(redrive_id)
    return "" if status is None else context.fragment(request, "redrive.html", "progress", **_shown(context, status))


def _shown(context: PageContext, status: RedriveStatus) -> dict[str, Any]:
    here = context.jobs.is_here(status.redrive_id)
    return {
        "redrive": status,
        "selection": str(Selection.from_dict(status.selection)),
        "alive": here or context.redrives.is_being_run(status.redrive_id),
        "here": here,
        "trouble": context.jobs.trouble(status.redrive_id),
        "done": status.state is RedriveState.DONE,
    }


def stop(context: PageContext, request: PageRequest) -> Response:
    """Have whichever process runs a redrive pause it."""
    status = context.redrives.known(request.path["redrive_id"])
    if status.state is RedriveState.DONE:
        raise OperationRefusedError(f"Redrive {status.redrive_id} is done.")
    context.redrives.ask_to_stop(status.redrive_id)
    _note(context, request, "dead.redrive.stop", status)
    return context.go_on(request, f"/replays/{status.redrive_id}", "stopping")


def resume(context: PageContext, request: PageRequest) -> Response:
    """Go on with a redrive in this process."""
    status = context.redrives.known(request.path["redrive_id"])
    if status.state is RedriveState.DONE:
        raise OperationRefusedError(f"Redrive {status.redrive_id} is done; there is nothing left to send.")
    if context.redrives.is_being_run(status.redrive_id):
        raise OperationRefusedError(f"Redrive {status.redrive_id} is being run by {status.owner}.")
    context.jobs.start(status.redrive_id, who=request.session.who, resend=request.form.get("resend") == "yes")
    _note(context, request, "dead.redrive.resume", status)
    return context.go_on(request, f"/replays/{status.redrive_id}", "resumed")


def _form(context: PageContext, request: PageRequest, selection: Selection, foreseen: DryRun | None) -> Response:
    fixed = up_to_now(selection)
    number = sum(1 for _ in context.letters.ids(fixed))
    return context.page(
        request,
        "redrive_form.html",
        title="Redrive dead letters",
        number=number,
        selection=str(selection),
        fixed=write_filters(fixed),
        foreseen=foreseen,
        outcomes=[(expected.value, words) for expected, words in OUTCOMES.items()],
        canary=min(CANARY_DEFAULT, number),
        max_failures=f"{MAX_FAILURES_DEFAULT:.0%}",
        dry_run_max=DRY_RUN_MAX,
    )


def _foresee(context: PageContext, selection: Selection) -> DryRun:
    """Run today's extractors on a thread that can be left behind.

    Raises:
        OperationRefusedError: another dry run is under way, or this one takes too long.
        BridgeError: as ``Redrives.predict``.
    """
    if not _dry_run_slot.acquire(blocking=False):
        raise OperationRefusedError("Another dry run is under way; try again when it is over.")
    answer: Future[DryRun] = Future()

    def run() -> None:
        """Predict, hand over what came of it, and let the next one in."""
        try:
            made = _predict(context, selection)
        except BaseException as error:
            answer.set_exception(error)
        else:
            answer.set_result(made)
        finally:
            _dry_run_slot.release()

    SupervisedThread(run, name="dry-run", once=True).start()
    try:
        return answer.result(timeout=DRY_RUN_S * 1.5)
    except (FutureTimeoutError, InvalidStateError):
        raise OperationRefusedError(
            "The dry run takes too long: an extractor seems to hang. Nothing was published. Run it where it can be "
            f"interrupted: sse-bridge dead redrive --dry-run ({selection})"
        ) from None


def _predict(context: PageContext, selection: Selection) -> DryRun:
    made = DryRun(doubts=context.redrives.doubts())
    ends_at = time.monotonic() + DRY_RUN_S
    for prediction in context.redrives.predict(selection):
        made.add(prediction)
        if made.looked_at == DRY_RUN_MAX or time.monotonic() > ends_at:
            made.complete = False
            break
    return made


def _note(context: PageContext, request: PageRequest, action: str, status: RedriveStatus) -> None:
    entry = LogEntry(who=request.session.who, action=action, selection=f"redrive {status.redrive_id}")
    context.store.log.append(entry)
