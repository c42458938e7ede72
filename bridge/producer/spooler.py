"""``Spooler``: accepted events through the spool: one thread writes them to disk, another sends what is there.

So events are on disk while the broker makes the sender wait. The spool is a net, and no bottleneck: what the disk does
not take (full, broken, not ours) goes to the sending thread straight from memory, behind what the spool holds.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bridge.model.errors import SpoolError
from bridge.model.plain_text import plain_logger
from bridge.producer.batching import Accepted
from bridge.producer.buffer import ROUND_MAX, Buffer
from bridge.producer.orphans import Orphans
from bridge.producer.row_validation import RowValidator
from bridge.producer.sender import Progress, Sender
from bridge.producer.spool import Spool
from bridge.producer.spool_file import SpoolFile
from bridge.producer.spool_folder import release_inherited_locks
from bridge.runtime.supervision import Backoff

logger = plain_logger(__name__)

ADOPT_INTERVAL_S = 10.0
"""How often a process looks for spool files that no process holds any more, and whether its own is still there."""
READ_AGAIN_S = 5.0
"""How often a spool of ours that cannot be read is looked at again."""


class Spooler:
    """Two loops, each for a supervised thread of its own: ``write`` and ``send``.

    ``folder`` is made when it is missing; all spool files may take ``max_bytes`` there, this process' under ``name``.
    ``withdraw`` is told the name of a dead process when its spool has been sent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        name: str,
        validator: RowValidator,
        buffer: Buffer,
        sender: Sender,
        progress: Progress,
        withdraw: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._name = name
        self._validator = validator
        self._buffer = buffer
        self._sender = sender
        self._progress = progress
        self._withdraw = withdraw
        self._orphans = Orphans(folder, validator)
        self._spool: Spool | None = None
        self._disk = Backoff()
        self._disk_again_at = 0.0
        # What the disk did not take, for the sending thread; None when there is none, or it has been sent.
        self._offered: Sequence[Accepted] | None = None
        self._sending_offered = False
        self._unreadable = False
        self._read_again_at = 0.0
        self._unremoved = False

    @property
    def set_aside(self) -> int:
        """Files that this process set aside because they cannot be read."""
        return self._orphans.set_aside + (self._spool.set_aside if self._spool else 0)

    # The thread that writes

    def write(self) -> None:
        """Write what the buffer holds, until the process closes."""
        self._buffer.empty(self._write_or_offer)

    def _write_or_offer(self, events: Sequence[Accepted]) -> int:
        """Get rid of the oldest events on either way; returns how many."""
        while not self._progress.closing:
            wait_s = self._disk_again_at - time.monotonic()
            if wait_s <= 0:
                written = self._try_disk(events)
                if written:
                    return written
                wait_s = self._disk_again_at - time.monotonic()
            if self._offer(events, max(wait_s, 0.0)):
                return len(events)
        return 0

    def _try_disk(self, events: Sequence[Accepted]) -> int:
        """Write to the spool; returns how many were written, 0 if the disk takes none for now."""
        try:
            if self._spool is None:
                self._spool = self._open()
            written = self._spool.append(events)
        except SpoolError as error:
            event = "bridge.spool.unusable" if self._spool is None else "bridge.spool.broken"
            self._note_disk_trouble(event, error)
            return 0
        if not written:
            self._note_disk_trouble("bridge.spool.full", SpoolError("It may take no more (BRIDGE_SPOOL_MAX_BYTES)."))
            return 0
        if self._disk.failures:
            logger.info("bridge.spool.returned after_failures=%d", self._disk.failures)
            self._disk = Backoff()
        with self._progress.changed:
            self._progress.in_spool += written
            self._progress.changed.notify_all()
        return written

    def _open(self) -> Spool:
        return Spool.create(self._folder, self._validator, max_bytes=self._max_bytes, name=self._name)

    def _note_disk_trouble(self, event: str, error: SpoolError) -> None:
        """Events go past the disk now; it is tried again after a while."""
        self._note_trouble(event, error, say=self._disk.failures == 0)
        self._disk_again_at = time.monotonic() + self._disk.next_s()

    def _offer(self, events: Sequence[Accepted], wait_s: float) -> bool:
        """Let the sending thread have events for so long, and until it has tried; whether the broker has them."""
        with self._progress.changed:
            self._offered = events
            self._progress.changed.notify_all()
        self._progress.wait(lambda: self._offered is None, wait_s)
        with self._progress.changed:
            self._progress.changed.wait_for(lambda: not self._sending_offered)  # also while the process closes
            taken, self._offered = self._offered is None, None
            return taken

    # The thread that sends

    def send(self) -> None:
        """Send what the spool holds, what the disk did not take, and now and then what dead processes left."""
        adopt_at = 0.0
        while not self._progress.closing:
            if time.monotonic() >= adopt_at:
                self._look_after_own()
                goes_on = self._adopt()
                adopt_at = time.monotonic() + (0 if goes_on else ADOPT_INTERVAL_S)
            if time.monotonic() >= self._read_again_at:
                self._empty_own()
            pause_s = self._send_offered()
            if pause_s is not None:
                self._progress.wait(lambda: False, pause_s)
            else:
                wake_at = min(adopt_at, self._read_again_at) if self._unreadable else adopt_at
                self._progress.wait(self._has_work, max(0.0, wake_at - time.monotonic()))

    def _has_work(self) -> bool:
        return bool(self._offered) or (self._progress.in_spool > 0 and not self._unreadable)

    def _send_offered(self) -> float | None:
        """Send what the disk did not take, behind what it did; None, or the seconds to wait after trouble."""
        with self._progress.changed:
            events = self._offered
            if not events or (self._progress.in_spool > 0 and not self._unreadable):
                return None
            self._sending_offered = True
        try:
            wait_s = self._sender.try_once(events)
            if wait_s is None:
                self._offered = None
                self._progress.note_delivered(len(events))
            return wait_s
        finally:
            with self._progress.changed:
                self._sending_offered = False
                self._progress.changed.notify_all()

    def _empty_own(self, *, once: bool = False) -> None:
        """Send what our spool holds, or one round of it. One that cannot be read for now holds up nothing else."""
        spool = self._spool
        if spool is None:
            return
        try:
            while (more := self._send_oldest(spool)) and not once:
                pass
            if not more and not self._progress.closing:
                self._note_lost(spool)
                self._unreadable = False
        except SpoolError as error:
            self._note_trouble("bridge.spool.broken", error, say=not self._unreadable)
            self._unreadable, self._read_again_at = True, time.monotonic() + READ_AGAIN_S

    def _send_oldest(self, spool: Spool) -> bool:
        """Send a round of our own events; whether there may be more."""
        if self._progress.closing:
            return False
        last, events = spool.oldest(ROUND_MAX)
        if not events or not self._sender.send(events):
            return False
        self._remove(spool, last)
        with self._progress.changed:
            self._progress.in_spool -= len(events)
            self._progress.note_delivered(len(events))
        return not self._progress.closing

    def _remove(self, spool: SpoolFile, last: int) -> None:
        """Forget what was sent; what a disk does not let us remove now is removed with the next."""
        try:
            spool.remove(last)
        except SpoolError as error:
            self._note_trouble("bridge.spool.broken", error, say=not self._unremoved)
            self._unremoved = True
        else:
            self._unremoved = False

    def _note_lost(self, spool: Spool) -> None:
        """What was on our disk, and is not any more, will not arrive.

        Raises:
            SpoolError: the spool cannot be read.
        """
        with self._progress.changed:
            lost = self._progress.in_spool - spool.count()
            if lost <= 0:
                return
            self._progress.in_spool -= lost
            self._progress.note_abandoned(lost)
        logger.error("bridge.emitter.abandoned events=%d: they were in the spool and cannot be read.", lost)

    def _note_trouble(self, event: str, error: SpoolError, *, say: bool) -> None:
        self._progress.note_trouble(event, error, waiting=len(self._buffer), count="spool_full", say=say)

    def _look_after_own(self) -> None:
        """An idle process, too, notices that its file was removed."""
        if self._spool is not None:
            try:
                self._spool.look_after()
            except SpoolError as error:
                self._note_trouble("bridge.spool.broken", error, say=True)

    def _adopt(self) -> bool:
        """Send what dead processes left; whether there is more of that kind to look at, at once."""
        adopted = False
        for orphan in self._orphans.adopt():
            if orphan is not None:
                adopted = True
                self._send_orphan(orphan)
            if self._progress.closing:
                return False
            self._send_own_first()
        return adopted and self._orphans.has_more

    def _send_own_first(self) -> None:
        """Between two steps with what others left, one with our own: neither waits for all of the other."""
        if self._has_work() and time.monotonic() >= self._read_again_at:
            self._empty_own(once=True)
            self._send_offered()

    def _send_orphan(self, orphan: SpoolFile) -> None:
        try:
            if self._empty_orphan(orphan):
                self._orphans.release(orphan)
            else:
                orphan.close()
        except Exception as error:  # whatever a foreign file does, it must not cost the others
            self._orphans.give_up(orphan, error)

    def _empty_orphan(self, orphan: SpoolFile) -> bool:
        """Send what a dead process left; whether everything was."""
        waiting = orphan.count()
        if waiting:
            logger.info("bridge.spool.adopted events=%d", waiting)
        while not self._progress.closing:
            last, events = orphan.oldest(ROUND_MAX)
            if not events:
                if not orphan.foreign:
                    self._withdraw(orphan.name)
                return True
            if not self._sender.send(events):
                return False
            self._remove(orphan, last)
            self._send_own_first()
        return False

    # The end

    def close(self, *, writing: bool) -> int:
        """On the closing caller's thread: returns how many events wait on the disk.

        ``writing``: the thread that writes has not ended; the disk stands still in the middle of a call, and whoever
        asked it for anything would wait as well.
        """
        if writing:
            return self._progress.in_spool
        left = self._buffer.written(self._buffer.front(None))
        if left and self._disk.failures == 0:
            while left and (written := self._try_disk(left)):
                self._buffer.take_out(written)
                left = left[written:]
        spool, self._spool = self._spool, None
        if spool is None:
            return 0
        try:
            waiting = spool.count()
        except SpoolError as error:
            self._note_trouble("bridge.spool.broken", error, say=True)
            waiting = 0
        spool.close()
        return waiting

    def abandon(self) -> None:
        """In a forked child: leave the parent's spool, and what it adopted, alone."""
        release_inherited_locks()
