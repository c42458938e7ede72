"""``ReplayRecord``: what Redis knows of one replay, and the lease on running it."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.model.errors import OperationRefusedError
from bridge.operations.redrive.job import ReplayState, ReplayStatus
from bridge.redis_adapter import RedriveJob

LEASE_S = 5.0


class ReplayRecord:
    """Reads and writes the record of one replay."""

    def __init__(self, job: RedriveJob) -> None:
        self._job = job
        self._id = job.job_id

    def begin(self, values: Mapping[str, Any], now_ms: int) -> None:
        """Write the replay down."""
        self._job.begin({**values, "state": ReplayState.BUILDING.value, "created_ms": now_ms}, now_ms)

    def status(self) -> ReplayStatus | None:
        """How far the replay is; None if there is none of that id."""
        record = self._job.read()
        if record is None or "state" not in record.fields:
            return None
        values = record.fields
        return msgspec.convert(
            {
                **values,
                "selection": msgspec.json.decode(values["selection"]),
                "max_failures": float(values["max_failures"]) if values["max_failures"] else None,
                "replay_id": self._id,
                "pending": record.pending,
                "under_way": record.in_flight,
            },
            ReplayStatus,
            strict=False,
        )

    def known(self) -> ReplayStatus:
        """As ``status``.

        Raises:
            OperationRefusedError: there is none.
        """
        status = self.status()
        if status is None:
            raise OperationRefusedError(f"There is no replay {self._id}; see sse-bridge dead replays.")
        return status

    def take(self, owner: str) -> None:
        """Get the lease; one that is running out is waited for.

        Raises:
            OperationRefusedError: there is no such replay, it is done, or another process runs it.
        """
        if self.known().state is ReplayState.DONE:
            raise OperationRefusedError(f"Replay {self._id} is done; there is nothing left to send.")
        deadline = time.monotonic() + LEASE_S + 1
        while rest_ms := self._job.renew_lease(owner, LEASE_S):
            if time.monotonic() + rest_ms / 1000 > deadline:
                raise OperationRefusedError(f"Replay {self._id} is being run by {self.known().owner}.")
            time.sleep(min(rest_ms / 1000, 0.2))
