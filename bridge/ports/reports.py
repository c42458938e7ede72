"""Ports of what processes say of themselves; it is dated by the store's clock when it comes."""

from collections.abc import Sequence
from typing import Protocol

from bridge.runtime.reports import KnownWorker, ProducerReport, Reported, WorkerReport


class WorkerReports(Protocol):
    """What workers say of themselves every few seconds."""

    def beat(self, name: str, report: WorkerReport, *, sweep: bool = False) -> None:
        """Keep a report in place of the worker's last one; with ``sweep``, forget those that were silent for a day."""

    def leave(self, name: str) -> None:
        """A worker stops, as it should. Idempotent."""

    def known(self) -> Sequence[KnownWorker]:
        """Every worker that has not said good-bye, by name. What cannot be read is left out."""


class ProducerReports(Protocol):
    """What producers say of themselves; within bounds, and the newest are kept."""

    def keep(self, producer: str, report: ProducerReport | None) -> None:
        """Keep a report in place of the producer's last one; None withdraws that. Idempotent."""

    def all(self) -> Sequence[Reported]:
        """Every report, the oldest first. What cannot be read is left out."""
