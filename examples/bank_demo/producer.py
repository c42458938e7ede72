"""The demo's producer process: takes jobs from the ledger, does them, and emits what happens through ``Emitter``."""

import logging
import signal
import sys
import threading
import time
from pathlib import Path
from uuid import uuid4

from bridge import BridgeError, DomainEvent, Emitter
from bridge.catalogs.finance import FileImportFailed, SessionCreated
from examples.bank_demo.importer import InterruptedImportError, Report, StatementImport
from examples.bank_demo.ledger import Job, Ledger
from examples.bank_demo.plan import DemoPlan

POLL_INTERVAL_S = 0.1
LOOP_PAUSE_S = 8.0

logger = logging.getLogger("bridge.demo")


class DemoProducer:
    """One small service of a finance product.

    Args:
        plan: what to do.
        emitter: takes the domain events.
        stop: set it to end after the present transaction.
    """

    def __init__(self, plan: DemoPlan, emitter: Emitter, stop: threading.Event) -> None:
        self._plan = plan
        self._emitter = emitter
        self._stop = stop
        self._ledger = Ledger(plan.ledger)
        self._import = StatementImport(self._ledger, self._emit, plan.user_id, self._pace)
        self._next_row_at = time.monotonic()

    def run(self) -> None:
        """Do jobs until asked to stop."""
        self._ledger.forget_running()
        self._ledger.note_counts(self._emitter.counts)
        loop_at: float | None = None
        while not self._stop.is_set():
            job = self._ledger.take()
            if job is not None:
                self._do(job)
                loop_at = time.monotonic() + LOOP_PAUSE_S if self._plan.loop and job.kind == "import" else loop_at
            elif loop_at is not None and time.monotonic() >= loop_at:
                loop_at = None
                self._ledger.ask("import", Path(self._plan.statement).name, fresh=True)
            else:
                self._stop.wait(POLL_INTERVAL_S)
        self._emitter.flush()
        self._ledger.close()

    def _do(self, job: Job) -> None:
        if job.kind == "session":
            self._emit(SessionCreated(user_id=self._plan.user_id, session_id=uuid4(), device_info=job.name))
            self._ledger.finish(job)
            return
        if job.fresh:
            self._ledger.empty()
        started = time.monotonic()
        logger.info("%s: import begins", job.name)
        self._next_row_at = started
        report = self._run_import(job)
        self._ledger.finish(job, report.error or "")
        if report.error:
            logger.warning("%s: import failed: %s", job.name, report.error)
        else:
            logger.info(
                "%s: %d transactions imported, %d known before, in %.1f s; %d events emitted so far",
                job.name, report.imported, report.known, time.monotonic() - started, self._emitter.counts["accepted"],
            )  # fmt: skip

    def _run_import(self, job: Job) -> Report:
        try:
            content = Path(self._plan.statement).read_bytes() if job.content is None else job.content
        except OSError as error:
            reason = f"The file cannot be read: {error.strerror}."
            self._emit(FileImportFailed(user_id=self._plan.user_id, file_name=job.name, reason=reason))
            return Report(error=reason)
        return self._import.run(job.name, content)

    def _emit(self, event: DomainEvent) -> None:
        self._emitter.emit(event)
        # At once, or the page would show an event that has arrived but was never emitted.
        self._ledger.note_counts(self._emitter.counts)

    def _pace(self) -> None:
        """Wait until the next transaction is due.

        Raises:
            InterruptedImportError: we are asked to stop.
        """
        if self._plan.rows_per_s > 0:
            self._next_row_at += 1 / self._plan.rows_per_s
            self._stop.wait(max(0.0, self._next_row_at - time.monotonic()))
        while (job := self._ledger.take("session")) is not None:
            self._do(job)  # whoever opens the page need not wait for the import
        if self._stop.is_set():
            raise InterruptedImportError


def main(argument: str) -> int:
    """Run the producer; its exit code."""
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logger.setLevel(logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        emitter = Emitter()
        DemoProducer(DemoPlan.from_argument(argument), emitter, stop).run()
        emitter.close()
    except BridgeError as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
