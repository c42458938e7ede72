"""``ForeignProducers``: looks now and then where producers that are not ours leave messages, and brings them in."""

import threading
from collections.abc import Callable, Sequence

from bridge.model.counting import FOREIGN_PRIORITY
from bridge.model.errors import BrokerError, StoreError
from bridge.model.plain_text import plain_logger
from bridge.ports import ForeignQueues, Metrics, QueueNames
from bridge.runtime.supervision import OnceAKind, SupervisedThread

logger = plain_logger(__name__)

LOOK_S = 1.0
"""A message with a priority waits about so long until it is brought in."""
FIND_EVERY = 5
"""At every so manieth look it searches for queues, too."""
STOP_TIMEOUT_S = 5.0


class ForeignProducers:
    """Runs on a thread of its own, on a Redis broker; counts what it brought in."""

    def __init__(
        self, left: ForeignQueues, queues: Callable[[], Sequence[str]], names: QueueNames, metrics: Metrics
    ) -> None:
        self._left = left
        self._queues = queues
        self._names = names
        self._metrics = metrics
        self._noted: frozenset[str] = frozenset()
        self._said: set[str] = set()
        self._thread = SupervisedThread(self._run, name="bridge-foreign-producers")

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop. Idempotent."""
        self._thread.stop(STOP_TIMEOUT_S)
        self._left.close()

    def _run(self) -> None:
        stopping: threading.Event = self._thread.stopping
        turn, trouble = 0, OnceAKind(logger)
        while not stopping.wait(LOOK_S):
            try:
                self._merge()
                if turn % FIND_EVERY == 0:
                    self._find()
                turn += 1
                trouble.over()
            except (BrokerError, StoreError) as error:
                trouble.log(error, "bridge.foreign.unseen")

    def _merge(self) -> None:
        for queue, number in self._left.merge_priorities(self._queues()).items():
            self._metrics.add([(FOREIGN_PRIORITY, number)])
            if queue not in self._said:
                self._said.add(queue)
                logger.warning(
                    "bridge.foreign.priority: a producer sends to %s with a priority, which the bridge does not have; "
                    "its messages are brought in within %g s, behind the others. This is said once.",
                    queue,
                    LOOK_S,
                )

    def _find(self) -> None:
        new = self._left.find() - self._noted
        if new:
            self._names.note(sorted(new))
            self._noted |= new
