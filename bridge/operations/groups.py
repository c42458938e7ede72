"""Failures by root cause: counted in one pass, in memory that grows with the causes and not with the events."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bridge.model.pipeline.failure import Cause
from bridge.operations.selection import Facts

TREND_STEPS = 12
USERS_MAX = 200_000
"""Users that are told apart in one pass; beyond it a group's number of users is a lower bound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Failures of one cause."""

    group: str  # the cause's short name; a filter of every command
    cause: Cause  # what they have in common
    count: int
    first_ms: int  # the earliest, in ms
    last_ms: int  # the latest
    users: int  # how many users are hit
    users_exact: bool  # whether ``users`` is exact rather than a lower bound
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
    users: set[str] = field(default_factory=set)
    users_exact: bool = True
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
        self._users_left = USERS_MAX

    def add(self, facts: Facts) -> None:
        """Count one failure."""
        self.add_parts(facts.group, facts.task, facts.user_id, facts.at_ms, facts.item_id)

    def add_parts(self, group: str, task: str, user_id: str, at_ms: int, item_id: str) -> None:
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
        if user_id and user_id not in tally.users:
            self._add_user(tally, user_id)
        step = int((at_ms - self._first_ms) / self._step_ms)
        tally.trend[min(max(step, 0), TREND_STEPS - 1)] += 1

    def _add_user(self, tally: _Tally, user_id: str) -> None:
        if self._users_left:
            tally.users.add(user_id)
            self._users_left -= 1
        else:
            tally.users_exact = False

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
    return Group(
        group=name,
        cause=cause or Cause(stage="", error_class="", place="", message="(gone while it was being read)"),
        count=tally.count,
        first_ms=tally.first_ms,
        last_ms=tally.last_ms,
        users=len(tally.users),
        users_exact=tally.users_exact,
        tasks=tuple(tally.tasks.most_common()),
        sample=tally.sample,
        trend=tuple(tally.trend),
    )
