"""Failed events: how people choose them by filters, how they look as a row and whole, and what a dry run says."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge.model.dead_letter import Cursor, DeadLetter
from bridge.model.errors import SettingsError
from bridge.model.moments import shown_time
from bridge.model.pipeline import Failure
from bridge.model.retry import Attempt, WaitingRetry
from bridge.operations import FOREVER_MS, Facts, Group, Prediction, Selection, facts_of, of_user, parse_time
from bridge.views.words import Named, addresses_in_words, counted, event_class, failure_in_words, moment

LISTS = {
    "type": "types",
    "category": "categories",
    "address": "addresses",
    "error": "error_classes",
    "stage": "stages",
    "group": "groups",
    "id": "ids",
}
"""Names of filters that take several values, and the attributes of a Selection that hold them."""
USER = "user"
"""A filter that takes the user's id for an address."""
NAMES = (*LISTS, USER, "since", "until", "text")


def read_filters(lists: Mapping[str, Iterable[str]], *, since: str, until: str, text: str, now_ms: int) -> Selection:
    """A selection, not yet resolved against a registry; an empty text is no filter, and ``2h`` refers to ``now_ms``.

    Raises:
        SettingsError: a time is none.
    """
    users = [of_user(one) for one in lists.get(USER, ())]
    return Selection(
        since_ms=parse_time(since, now_ms) if since else 0,
        until_ms=parse_time(until, now_ms) if until else FOREVER_MS,
        text=text,
        addresses=(*lists.get("address", ()), *users),
        **{LISTS[name]: tuple(values) for name, values in lists.items() if name not in ("address", USER)},
    )


def write_filters(selection: Selection) -> list[Named]:
    """What reads as the same selection again, with times that do not move."""
    filters = [Named(name, value) for name, attribute in LISTS.items() for value in getattr(selection, attribute)]
    if selection.since_ms:
        filters.append(Named("since", moment(selection.since_ms)))
    if selection.until_ms != FOREVER_MS:
        filters.append(Named("until", moment(selection.until_ms)))
    if selection.text:
        filters.append(Named("text", selection.text))
    return filters


def read_cursor(text: str, refusal: str) -> Cursor | None:
    """Where a page of a list begins; None at its beginning.

    Raises:
        SettingsError: the text is no cursor; says the refusal.
    """
    try:
        cursor = Cursor.parse(text) if text else None
    except ValueError:
        raise SettingsError(refusal) from None
    if cursor is not None and not math.isfinite(cursor.at_ms):
        raise SettingsError(refusal)
    return cursor


class Row(NamedTuple):
    """One failed event in a list: its last failure, its tries (None if it was never run), and until when it waits.

    ``at_ms`` is when it was dead-lettered, or is due; None while it is being tried.
    """

    at_ms: int | None
    item: Facts
    failure: Failure
    tries: int | None

    @property
    def at(self) -> str:
        """The time, or why there is none."""
        return "being tried" if self.at_ms is None else shown_time(self.at_ms)


def letter_row(at_ms: int, letter: DeadLetter) -> Row:
    """A dead letter in a list."""
    return Row(at_ms, facts_of(letter), letter.failure, letter.attempts[-1].number if letter.attempts else None)


def retry_row(waiting: WaitingRetry) -> Row:
    """A waiting retry in a list."""
    last = waiting.record.attempts[-1]
    return Row(None if waiting.taken else waiting.due_ms, facts_of(waiting.record), last.failure, last.number)


def letter_facts(letter: DeadLetter) -> list[Named]:
    """A dead letter without its contents and attempts."""
    return [
        *_shared_facts(facts_of(letter)),
        Named("buried", letter.buried_at),
        Named("worker", letter.worker),
        Named("release", letter.release),
        Named("died in", letter.replay and f"redrive {letter.replay}"),
    ]


def retry_facts(waiting: WaitingRetry) -> list[Named]:
    """A waiting retry without its contents and attempts."""
    row = retry_row(waiting)
    return [*_shared_facts(row.item), Named("due", row.at)]


def _shared_facts(item: Facts) -> list[Named]:
    return [
        Named("task", item.task),
        Named("queue", item.queue),
        Named("for", addresses_in_words(item.addresses)),
        Named("group", item.group),
    ]


def attempts_in_words(attempts: Sequence[Attempt]) -> list[Named]:
    """Each attempt: its name, and when and why it failed."""
    return [
        Named(f"attempt {attempt.number}", f"{attempt.at} {failure_in_words(attempt.failure)}") for attempt in attempts
    ]


def hits_in_words(group: Group) -> str:
    """How many users and topics a cause hits, and everyone; with a + where there may be more."""
    more = "" if group.users_exact else "+"
    users = [counted(group.users, USER, more)] if group.users or not (group.topics or group.everyone) else []
    topics = [counted(group.topics, "topic", more)] if group.topics else []
    return ", ".join(users + topics + ["everyone"] * group.everyone)


def types_in_words(tasks: Sequence[tuple[str, int]]) -> str:
    """How many of each type, in the order given."""
    return ", ".join(f"{event_class(task) or 'none'} {count:,}" for task, count in tasks)


SHOWN_MAX = 20
NOTES_COUNTED_MAX = 1000


@dataclass(kw_only=True, slots=True)
class DryRun:
    """What a redrive would do."""

    looked_at: int = 0  # letters
    complete: bool = True  # whether those are all that match
    counts: Counter[str] = field(default_factory=Counter)  # by what is expected of them
    # Letters that were published and would say otherwise today, up to SHOWN_MAX: field → both values
    changes: list[tuple[str, dict[str, tuple[Any, Any]]]] = field(default_factory=list)
    doubts: tuple[str, ...] = ()  # workers whose code is not that of this process
    _notes: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> list[tuple[str, int]]:
        """Why letters would fail or be left out, and how often; most first, up to SHOWN_MAX."""
        return self._notes.most_common(SHOWN_MAX)

    def add(self, prediction: Prediction) -> None:
        """Count one letter."""
        self.looked_at += 1
        self.counts[prediction.expected.value] += 1
        note = failure_in_words(prediction.failure) if prediction.failure else prediction.note
        if note and (note in self._notes or len(self._notes) < NOTES_COUNTED_MAX):
            self._notes[note] += 1
        if prediction.changes and len(self.changes) < SHOWN_MAX:
            self.changes.append((prediction.letter_id, prediction.changes))
