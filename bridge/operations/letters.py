"""``Letters``: listing, grouping, exporting and discarding dead letters; every reading is bounded in memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import msgspec

from bridge.model.bounds import PARSER_ERRORS, REASON_CHARS_MAX
from bridge.model.dead_letter import UNREADABLE, UNREADABLE_CAUSE, Cursor, DeadLetter, LetterHead, Tombstone
from bridge.model.log_entry import LogEntry
from bridge.model.pipeline.failure import cause_of
from bridge.model.registry import Registry
from bridge.model.registry.addresses import user_of
from bridge.operations.groups import ADDRESSES_MAX, Group, Grouping
from bridge.operations.known import resolve
from bridge.operations.selection import FOREVER_MS, Selection, facts_of
from bridge.ports import DeadLetters, Store
from bridge.runtime.identity import who_am_i

T = TypeVar("T")

PAGE_DEFAULT = 50
PAGE = 200
CHUNK = 500
MASK = "***"


@dataclass(frozen=True, kw_only=True, slots=True)
class LetterPage:
    """A page of the list."""

    letters: tuple[tuple[int, DeadLetter], ...]  # with the time of burial in ms of Redis time
    # Where the next page begins; None behind the last one. A letter that is dead-lettered again while a reader pages
    # moves to the beginning; nothing else moves.
    next: Cursor | None


@dataclass(kw_only=True, slots=True)
class AddressHit:
    """What the dead letters for one address have in common."""

    address: str
    count: int = 0
    first_ms: int = 0  # the earliest burial, in ms of Redis time
    last_ms: int = 0  # the latest
    tasks: dict[str, int] = field(default_factory=dict)  # how many a task

    def add(self, head: LetterHead) -> None:
        """Count a letter."""
        self.count += 1
        self.last_ms = max(self.last_ms, head.buried_ms)
        self.first_ms = min(self.first_ms, head.buried_ms)
        self.tasks[head.task] = self.tasks.get(head.task, 0) + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Discarded:
    """What came of a discard."""

    discarded: int = 0  # letters that are gone now; each left a tombstone
    in_redrive: int = 0  # letters left alone because a redrive has sent them, and their outcome is not known yet
    gone: int = 0  # letters that were not there any more


class Letters:
    """What operators do with dead letters, redrives apart."""

    def __init__(self, store: Store) -> None:
        self._dead = store.dead_letters
        self._log = store.log

    # Reading

    def page(self, selection: Selection, *, cursor: Cursor | None = None, limit: int = PAGE_DEFAULT) -> LetterPage:
        """A page of letters, newest burial first.

        Args:
            selection: resolved against the registry.
            cursor: ``LetterPage.next`` of the page before; None for the first.
            limit: letters on the page, 1 or more.
        """
        found: list[tuple[int, DeadLetter]] = []
        more = True
        while more:
            glance = self._dead.look(
                cursor=cursor,
                between_ms=(selection.since_ms, selection.until_ms),
                conditions=selection.conditions(),
                # A text or an id is looked for here, in letters most of which do not match.
                take=CHUNK if selection.text or selection.ids else limit - len(found),
            )
            for letter_id, at_ms, letter in glance.found:
                if _holds(selection, letter, at_ms):
                    found.append((at_ms, letter))
                if len(found) == limit:
                    is_last = letter_id == glance.found[-1][0] and not glance.more
                    rest = None if is_last else Cursor(at_ms=at_ms, letter_id=letter_id)
                    return LetterPage(letters=tuple(found), next=rest)
            cursor, more = glance.cursor, glance.more
        return LetterPage(letters=tuple(found), next=None)

    def resolve(self, selection: Selection, registry: Registry) -> Selection:
        """A selection of which each value may match a letter; see ``known.resolve``.

        Raises:
            SettingsError: a value is unknown; names the near one.
        """
        return resolve(selection, registry, lambda: self._dead.heads(between_ms=(0, FOREVER_MS)))

    def ids(self, selection: Selection) -> Iterator[str]:
        """The ids of all letters that match, oldest burial first; one buried again meanwhile may be missed."""
        return (head.letter_id for head in self._heads(selection))

    def export(self, selection: Selection, *, payloads: bool = False) -> Iterator[dict[str, Any]]:
        """Every letter that matches as JSON values, oldest burial first.

        Args:
            selection: resolved against the registry.
            payloads: with the events' content; masked otherwise.
        """
        for part in chunks(self.ids(selection), CHUNK):
            letters = self._dead.get_many(part)
            yield from (
                letter_as_dict(letters[letter_id], payloads=payloads) for letter_id in part if letter_id in letters
            )

    def groups(self, selection: Selection) -> tuple[Group, ...]:
        """The letters that match by cause, largest group first."""
        first_ms, last_ms = self._span(selection)
        grouping = Grouping(first_ms=first_ms, last_ms=last_ms)
        for head in self._heads(selection):
            grouping.add_parts(head.group, head.task, head.addresses, head.buried_ms, head.letter_id)
        samples = grouping.samples()
        letters = self._dead.get_many(list(samples.values()))
        causes = {group: cause_of(letters[sample].failure) for group, sample in samples.items() if sample in letters}
        return grouping.finish({UNREADABLE: UNREADABLE_CAUSE, **causes})

    def addresses(self, selection: Selection) -> tuple["AddressHit", ...]:
        """The addresses that the matching letters hit, most letters first.

        Of more than ADDRESSES_MAX addresses, those with the oldest first letter are told.
        """
        found: dict[str, AddressHit] = {}
        for head in self._heads(selection):
            for address in head.addresses:
                hit = found.get(address)
                if hit is None:
                    if len(found) == ADDRESSES_MAX:
                        continue
                    hit = found[address] = AddressHit(address=address, first_ms=head.buried_ms)
                hit.add(head)
        return tuple(sorted(found.values(), key=lambda hit: (-hit.count, hit.address)))

    def _heads(self, selection: Selection) -> Iterator[LetterHead]:
        """Of all letters that match."""
        heads = self._dead.heads(between_ms=(selection.since_ms, selection.until_ms), conditions=selection.conditions())
        if selection.ids:
            wanted = frozenset(selection.ids)
            heads = (head for head in heads if head.letter_id in wanted)
        return self._with_text(selection, heads) if selection.text else heads

    def _with_text(self, selection: Selection, heads: Iterator[LetterHead]) -> Iterator[LetterHead]:
        """The head answers every filter but a text, which is looked for in the letter itself."""
        for part in chunks(heads, CHUNK):
            letters = self._dead.get_many([head.letter_id for head in part])
            for head in part:
                letter = letters.get(head.letter_id)
                if letter is not None and _holds(selection, letter, head.buried_ms):
                    yield head

    def _span(self, selection: Selection) -> tuple[int, int]:
        """Between which times the letters were dead-lettered."""
        first_ms, last_ms = self._dead.span_ms()
        return (max(first_ms, selection.since_ms), min(last_ms, selection.until_ms)) if first_ms else (0, 0)

    # Discarding

    def discard(self, selection: Selection, *, reason: str, who: str = "") -> Discarded:
        """Give up all letters that match; each leaves a tombstone, and the accounting counts it as discarded.

        Args:
            selection: resolved against the registry.
            reason: why; must not be empty.
            who: does it; this process's user if empty.

        Raises:
            ValueError: there is no reason.
            StoreUnavailableError: Redis is away; some may be discarded, and calling again completes it.
        """
        who = who or who_am_i()
        result = Discarded()
        for part in chunks(self.ids(selection), CHUNK):
            done = self.discard_ids(part, reason=reason, who=who)
            result = Discarded(
                discarded=result.discarded + done.discarded,
                in_redrive=result.in_redrive + done.in_redrive,
                gone=result.gone + done.gone,
            )
        # One entry for all portions: an operator's act is one line of the log.
        self._log.append(
            LogEntry(
                who=who,
                action="dead.discard",
                selection=str(selection),
                numbers={"discarded": result.discarded, "in_replay": result.in_redrive},
                reason=reason,
            )
        )
        return result

    def discard_ids(self, letter_ids: Sequence[str], *, reason: str, who: str, redrive: str = "") -> Discarded:
        """As ``discard``, for up to CHUNK letters and without an entry in the log.

        Args:
            letter_ids: which.
            reason: why; must not be empty.
            who: does it.
            redrive: which gives them up, and may so even if it has sent them.

        Raises:
            ValueError: there is no reason.
        """
        if not reason.strip():
            raise ValueError("Say why the letters are discarded.")
        letters = self._dead.get_many(letter_ids)
        reason = reason.strip()[:REASON_CHARS_MAX]
        stones = [_tombstone(letter_id, letters.get(letter_id), who, reason) for letter_id in letter_ids]
        discarded, in_redrive = self._dead.discard(stones, redrive=redrive)
        return Discarded(discarded=discarded, in_redrive=in_redrive, gone=len(letter_ids) - discarded - in_redrive)


def every_letter(dead: DeadLetters) -> Iterator[DeadLetter]:
    """All letters, newest burial first, page by page; one buried meanwhile may be missed."""
    cursor, more = None, True
    while more:
        glance = dead.look(cursor=cursor, between_ms=(0, FOREVER_MS), take=PAGE)
        yield from (found.letter for found in glance.found)
        cursor, more = glance.cursor, glance.more


def letter_as_dict(letter: DeadLetter, *, payloads: bool) -> dict[str, Any]:
    """A letter as JSON values; without ``payloads`` the event's content is masked."""
    values: dict[str, Any] = {**msgspec.to_builtins(letter), "user_id": user_of(letter.addresses)}
    if not payloads:
        values["envelope"] = mask_envelope(letter.envelope)
        values["raw"] = f"{MASK} ({len(letter.raw)} bytes)" if letter.raw else ""
    return values


def mask_envelope(envelope: str) -> str:
    """An envelope in which the values of ``data`` are masked, but for the user's id; all of it if it is not one."""
    try:
        values = msgspec.json.decode(envelope)
        data = {name: value if name == "user_id" else MASK for name, value in values["data"].items()}
        return msgspec.json.encode({**values, "data": data}).decode()
    except (KeyError, TypeError, AttributeError, *PARSER_ERRORS):
        return f"{MASK} ({len(envelope.encode())} bytes)" if envelope else ""


def _holds(selection: Selection, letter: DeadLetter, at_ms: int) -> bool:
    """The times are Redis' own, by which the list is ordered, not the worker's clock."""
    return selection.matches(msgspec.structs.replace(facts_of(letter), at_ms=at_ms))


def _tombstone(letter_id: str, letter: DeadLetter | None, who: str, reason: str) -> Tombstone:
    return Tombstone(
        letter_id=letter_id,
        at="",
        who=who,
        reason=reason,
        task=letter.task if letter else "",
        error_class=letter.failure.error_class if letter else "",
    )


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in lists of up to ``size``."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
