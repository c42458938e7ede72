"""Failures by root cause: counted in one pass, in memory that grows with the causes and not with the events."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bridge.model.pipeline.failure import Cause
from bridge.model.registry.addresses import EVERYONE_TEXT, is_users
from bridge.operations.selection import Facts

TREND_STEPS = 12
ADDRESSES_MAX = 200_000
"""Addresses that are told apart in one pass; beyond it a group's numbers of users and topics are lower bounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Failures of one cause."""

    group: str  # the cause's short name; a filter of every command
    cause: Cause  # what they have in common
    count: int
    first_ms: int  # the earliest, in ms
    last_ms: int  # the latest
    users: int  # how many users are hit
    topics: int  # how many topics, such as order:42
    everyone: bool  # whether any event was for everyone
    users_exact: bool  # whether users and topics are exact rather than lower bounds
    tasks: tuple[tuple[str, int], ...]  # how many a task, most first
    sample: str  # one of them (the latest), by id
    trend: tuple[int, ...]  # how many in each twelfth of the time that the whole table spans

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return {**found, "tasks": dict(self.tasks)}


@dataclass(slots=True)
class _Tally:
    count: int = 0
    first_ms: int = 0
    last_ms: int = 0
    sample: str = ""
    addresses: set[str] = field(default_factory=set)
    exact: bool = True
    tasks: Counter[str] = field(default_factory=Counter)
    trend: list[int] = field(default_factory=lambda: [0] * TREND_STEPS)


class Grouping:
    """Takes failures one by one, in any order.

    Args:
        first_ms: the beginning of the trend, in ms.
        last_ms: its end.
    """

    def __init__(self, *, first_ms: int, last_ms: int) -> None:
        self._first_ms = first_ms
        self._step_ms = max(1, last_ms - first_ms + 1) / TREND_STEPS
        self._tallies: dict[str, _Tally] = {}
        self._left = ADDRESSES_MAX

    def add(self, facts: Facts) -> None:
        """Count one failure."""
        self.add_parts(facts.group, facts.task, facts.addresses, facts.at_ms, facts.item_id)

    def add_parts(self, group: str, task: str, addresses: Sequence[str], at_ms: int, item_id: str) -> None:
        """As ``add``, for those who have no time to make Facts."""
        tally = self._tallies.get(group)
        if tally is None:
            tally = self._tallies[group] = _Tally(first_ms=at_ms)
        tally.count += 1
        tally.tasks[task] += 1
        if at_ms >= tally.last_ms:
            tally.last_ms, tally.sample = at_ms, item_id
        if at_ms < tally.first_ms:
            tally.first_ms = at_ms
        for address in addresses:
            if address not in tally.addresses:
                self._add_address(tally, address)
        step = int((at_ms - self._first_ms) / self._step_ms)
        tally.trend[min(max(step, 0), TREND_STEPS - 1)] += 1

    def _add_address(self, tally: _Tally, address: str) -> None:
        if self._left:
            tally.addresses.add(address)
            self._left -= 1
        else:
            tally.exact = False

    def samples(self) -> dict[str, str]:
        """Group → one of its failures, by id."""
        return {group: tally.sample for group, tally in self._tallies.items()}

    def finish(self, causes: dict[str, Cause]) -> tuple[Group, ...]:
        """The groups, largest first.

        Args:
            causes: by group; a group that is missing is shown without one.
        """
        groups = (_group(name, tally, causes.get(name)) for name, tally in self._tallies.items())
        return tuple(sorted(groups, key=lambda group: (-group.count, group.group)))


def _group(name: str, tally: _Tally, cause: Cause | None) -> Group:
    users, everyone = sum(map(is_users, tally.addresses)), EVERYONE_TEXT in tally.addresses
    return Group(
        group=name,
        cause=cause or Cause(stage="", error_class="", place="", message="(gone while it was being read)"),
        count=tally.count,
        first_ms=tally.first_ms,
        last_ms=tally.last_ms,
        users=users,
        topics=len(tally.addresses) - users - everyone,
        everyone=everyone,
        users_exact=tally.exact,
        tasks=tuple(tally.tasks.most_common()),
        sample=tally.sample,
        trend=tuple(tally.trend),
    )
