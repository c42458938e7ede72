"""``RedriveRecord``: what Redis knows of one redrive, and the lease on running it."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.model.errors import OperationRefusedError
from bridge.operations.redrive.job import RedriveState, RedriveStatus
from bridge.redis_adapter import RedriveJob

LEASE_S = 5.0


class RedriveRecord:
    """Reads and writes the record of one redrive."""

    def __init__(self, job: RedriveJob) -> None:
        self._job = job
        self._id = job.job_id

    def begin(self, values: Mapping[str, Any], now_ms: int) -> None:
        """Write the redrive down."""
        self._job.begin({**values, "state": RedriveState.BUILDING.value, "created_ms": now_ms}, now_ms)

    def status(self) -> RedriveStatus | None:
        """How far the redrive is; None if there is none of that id."""
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
            RedriveStatus,
            strict=False,
        )

    def known(self) -> RedriveStatus:
        """As ``status``.

        Raises:
            OperationRefusedError: there is none.
        """
        status = self.status()
        if status is None:
            raise OperationRefusedError(f"There is no redrive {self._id}; see sse-bridge dead redrives.")
        return status

    def take(self, owner: str) -> None:
        """Get the lease; one that is running out is waited for.

        Raises:
            OperationRefusedError: there is no such redrive, it is done, or another process runs it.
        """
        if self.known().state is RedriveState.DONE:
            raise OperationRefusedError(f"Redrive {self._id} is done; there is nothing left to send.")
        deadline = time.monotonic() + LEASE_S + 1
        while rest_ms := self._job.renew_lease(owner, LEASE_S):
            if time.monotonic() + rest_ms / 1000 > deadline:
                raise OperationRefusedError(f"Redrive {self._id} is being run by {self.known().owner}.")
            time.sleep(min(rest_ms / 1000, 0.2))
