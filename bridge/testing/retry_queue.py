"""``MemoryRetryQueue``: the twin of the retry queue."""

from collections import Counter
from collections.abc import Iterator, Sequence

from bridge.model.retry import CLAIM_MAX, LEASE_S, RESEND_S, Attempt, Claim, RetryRecord, WaitingFor, WaitingRetry
from bridge.testing.state import Twin, Waiting


class MemoryRetryQueue(Twin):
    """Satisfies ``bridge.ports.RetryQueue``."""

    def add(
        self,
        waiting: Sequence[tuple[RetryRecord, float]],
        *,
        message_id: str = "",
        event_type: str = "",
        only_unfinished: bool = False,
    ) -> frozenset[str]:
        state, refused = self._state, set()
        state.ensure_room()
        for record, after_s in waiting:
            name = record.event_id
            known = state.retries.get(name)
            if only_unfinished and known is None and not state.has_open(message_id, name):
                continue
            if known is None and len(state.retries) >= state.settings.retry_max:
                refused.add(name)
                state.counts["retry_full"] += 1
                state.metrics[f"retry_full:{event_type}"] += 1
            elif self._accept(record, message_id, known):
                state.retries[name] = Waiting(record, state.clock.now_ms() + int(after_s * 1000))
                state.counts["retried"] += 1
                state.metrics[f"retried:{event_type}"] += 1
        return frozenset(refused)

    def _accept(self, record: RetryRecord, message_id: str, known: Waiting | None) -> bool:
        """Account for an event that failed; returns whether it is to wait for the attempt after this one."""
        state, name = self._state, record.event_id
        brought = state.take_open(message_id, name)
        if known is not None:
            if brought and not state.end_stray("retry", name):
                state.counts["duplicate"] += 1
            return known.record.attempt < record.attempt
        buried = not brought and name in state.letters
        if not brought and not buried:
            state.add_stray("retry", name)
        return not buried

    def claim(self) -> Claim:
        state = self._state
        now_ms = state.clock.now_ms()
        lease_ms = now_ms + LEASE_S * 1000 + 0.5
        due = sorted((one.due_ms, name) for name, one in state.retries.items() if one.due_ms <= now_ms)[:CLAIM_MAX]
        taken = [state.retries[name] for _, name in due]
        for one in taken:
            one.due_ms, one.taken = lease_ms, True
        nexts = [one.due_ms for one in state.retries.values()]
        return Claim(
            records=tuple(one.record for one in taken),
            unreadable=(),
            lease=f"{lease_ms:.1f}",
            next_due_s=max(0.0, min(nexts) - now_ms) / 1000 if nexts else None,
        )

    def confirm(self, claim: Claim) -> None:
        for record in claim.records:
            waiting = self._state.retries.get(record.event_id)
            if waiting is not None and waiting.due_ms == float(claim.lease):
                waiting.due_ms += RESEND_S * 1000

    def history(self, event_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        found = {name: self._state.retries.get(name) for name in event_ids}
        return {name: waiting.record.attempts for name, waiting in found.items() if waiting is not None}

    def unfinished(self, event_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(name for name in event_ids if name in self._state.retries)

    def count(self) -> int:
        return len(self._state.retries)

    def in_order(self, behind: tuple[float, str] | None = None) -> Iterator[WaitingRetry]:
        places = sorted((waiting.due_ms, name) for name, waiting in self._state.retries.items())
        for due_ms, name in places:
            waiting = self._state.retries.get(name)
            if waiting is not None and (behind is None or (due_ms, name) > behind):
                yield WaitingRetry(record=waiting.record, due_ms=int(due_ms), taken=waiting.taken)

    def by_queue(self, *, thorough: bool = False) -> tuple[WaitingFor, ...]:  # noqa: ARG002  (all are counted)
        records = [waiting.record for waiting in self._state.retries.values()]
        kinds = Counter((record.task, record.queue) for record in records)
        return tuple(WaitingFor(*kind, number) for kind, number in kinds.most_common())

    def make_due(self, event_ids: Sequence[str]) -> list[str]:
        return [record.event_id for record in self._postpone(event_ids, 0, taken=False)]

    def take(self, event_ids: Sequence[str]) -> list[RetryRecord]:
        return self._postpone(event_ids, LEASE_S * 1000 + 0.5, taken=True)

    def _postpone(self, event_ids: Sequence[str], after_ms: float, *, taken: bool) -> list[RetryRecord]:
        found = [self._state.retries.get(name) for name in event_ids]
        changed = [waiting for waiting in found if waiting is not None and not waiting.taken]
        for waiting in changed:
            waiting.due_ms, waiting.taken = self._state.clock.now_ms() + after_ms, taken
        return [waiting.record for waiting in changed]
