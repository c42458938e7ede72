"""The twins of the retry queue and the dead letters."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from bridge.model.dead_letter import LOOK_MAX, Cursor, DeadLetter, Found, Glance, LetterHead, Tombstone, head_of
from bridge.model.retry import CLAIM_MAX, LEASE_S, RESEND_S, Attempt, Claim, RetryRecord, WaitingFor, WaitingRetry
from bridge.testing.state import Buried, Twin, Waiting


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


class MemoryDeadLetters(Twin):
    """Satisfies ``bridge.ports.DeadLetters``."""

    def bury(
        self,
        letters: Sequence[DeadLetter],
        *,
        message_id: str = "",
        whole: bool = False,
        part: Sequence[str] | None = None,
        event_type: str = "",
        only_unfinished: bool = False,
    ) -> int:
        self._state.ensure_room()
        for letter in letters:
            if not only_unfinished or self._is_unfinished(message_id, letter.letter_id):
                self._bury(letter, message_id, whole=whole, part=part, event_type=event_type)
        return self._evict()

    def _is_unfinished(self, message_id: str, name: str) -> bool:
        state = self._state
        return state.has_open(message_id, name) or name in state.retries or name in state.letters

    def _bury(
        self, letter: DeadLetter, message_id: str, *, whole: bool, part: Sequence[str] | None, event_type: str
    ) -> None:
        state, name = self._state, letter.letter_id
        known = state.letters.get(name)
        state.letters[name] = Buried(letter, state.clock.now_ms(), known.events if known else 1)
        events = int(state.take_retry(name) and not state.end_stray("retry", name))
        if whole and part is None:
            events += state.take_all_open(message_id)
        else:
            events += sum(state.take_open(message_id, one) for one in (part if whole and part is not None else [name]))
        if known:
            state.counts["duplicate"] += events
            return
        state.counts["dead"] += 1
        state.metrics[f"dead:{event_type}"] += 1
        if whole and events:
            state.letters[name].events = events
            state.counts["dead_bundled"] += events - 1
        elif whole:
            state.counts["accepted"] += 1  # it was not announced, and is seen for the first time
        elif events:
            state.counts["duplicate"] += events - 1
        else:
            state.add_stray("dead", name)

    def _evict(self) -> int:
        state, settings = self._state, self._state.settings
        oldest = sorted((one.at_ms, name) for name, one in state.letters.items())
        size = sum(one.size for one in state.letters.values())
        evicted = 0
        for at_ms, name in oldest:
            expired = at_ms <= state.clock.now_ms() - settings.dead_ttl_s * 1000
            too_large = size > settings.dead_max_bytes and len(state.letters) > 1
            if expired or too_large or len(state.letters) > settings.dead_max:
                size -= state.letters[name].size
                self._take_out(name, "dead_evicted")
                evicted += 1
        return evicted

    def _take_out(self, name: str, how: str) -> bool:
        """Take a letter out for good; returns whether there was one."""
        buried = self._state.take_letter(name)
        if buried is None:
            return False
        self._state.strays.discard(("dead", name))
        self._state.counts[how] += buried.events
        self._state.counts["dead_bundled"] -= buried.events - 1
        return True

    def discard(self, tombstones: Sequence[Tombstone], *, redrive: str = "") -> tuple[int, int]:
        state, discarded = self._state, 0
        free = [stone for stone in tombstones if not self._is_sent_elsewhere(stone.letter_id, redrive)]
        for stone in free:
            if self._take_out(stone.letter_id, "discarded"):
                state.tombstones[stone.letter_id] = stone, state.clock.now_ms()
                discarded += 1
        return discarded, len(tombstones) - len(free)

    def _is_sent_elsewhere(self, name: str, redrive: str) -> bool:
        """Whether another redrive has sent a letter; what has died again in that one is back."""
        job, buried = self._state.in_redrive.get(name, redrive), self._state.letters.get(name)
        return job != redrive and buried is not None and buried.letter.replay != job

    def get_many(self, letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        found = {name: self._state.letters.get(name) for name in letter_ids}
        return {name: buried.letter for name, buried in found.items() if buried is not None}

    def history(self, letter_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        return {name: letter.attempts for name, letter in self.get_many(letter_ids).items()}

    def look(
        self,
        *,
        cursor: Cursor | None = None,
        newest_first: bool = True,
        between_ms: tuple[int, int],
        conditions: Sequence[Sequence[str]] = (),
        take: int = LOOK_MAX,
    ) -> Glance:
        place = None if cursor is None else (cursor.at_ms, cursor.letter_id)
        heads = self.heads(newest_first=newest_first, between_ms=between_ms, conditions=conditions)
        places = [((head.buried_ms, head.letter_id), head) for head in heads]
        behind = [head for at, head in places if place is None or (at < place if newest_first else at > place)]
        found = tuple(
            Found(head.letter_id, head.buried_ms, self._state.letters[head.letter_id].letter) for head in behind[:take]
        )
        last = Cursor(at_ms=found[-1].buried_ms, letter_id=found[-1].letter_id) if found else cursor
        return Glance(found=found, cursor=last, more=len(behind) > take)

    def span_ms(self) -> tuple[int, int]:
        times = [one.at_ms for one in self._state.letters.values()]
        return (min(times), max(times)) if times else (0, 0)

    def heads(
        self, *, newest_first: bool = False, between_ms: tuple[int, int], conditions: Sequence[Sequence[str]] = ()
    ) -> Iterator[LetterHead]:
        ordered = sorted(((one.at_ms, name) for name, one in self._state.letters.items()), reverse=newest_first)
        for at_ms, name in ordered:
            buried = self._state.letters.get(name)
            if buried is None or not between_ms[0] <= at_ms <= between_ms[1]:
                continue
            head = head_of(buried.letter)
            text = msgspec.json.encode(head).decode()
            if all(any(word in text for word in words) for words in conditions):
                head.buried_ms = at_ms
                yield head

    def count(self) -> int:
        return len(self._state.letters)
