"""``Selection``: which dead letters or waiting retries are meant; the filters that every command shares. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from bridge.model.dead_letter import DeadLetter, LetterHead, head_of
from bridge.model.errors import AddressError, IdError, SettingsError
from bridge.model.moments import LAST_MS, shown_time
from bridge.model.pipeline import Failure, Stage
from bridge.model.pipeline.failure import GROUP_CHARS, cause_of
from bridge.model.plain_text import echoed
from bridge.model.registry import Address, Registry, User, task_name
from bridge.model.registry.addresses import USER, is_users, key_of
from bridge.model.registry.metadata import QUEUE_PREFIX
from bridge.model.retry import RetryRecord
from bridge.runtime.command_names import command

FOREVER_MS = 1 << 52
_AGO = re.compile(r"([0-9]{1,9})\s*([smhdw])")
_GROUP = re.compile(rf"[0-9a-f]{{1,{GROUP_CHARS}}}")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a selection looks at; of a dead letter or of a waiting retry alike."""

    item_id: str  # id of the letter or the event
    task: str  # that handles it
    queue: str  # where it waits
    addresses: tuple[str, ...]  # of its event, as texts
    stage: str  # where it failed last
    error_class: str  # error class of that failure
    group: str  # group of that failure's cause
    at_ms: int  # when it was dead-lettered, or when its last attempt failed
    text: str = ""  # everything in it that can be searched; empty if that was not read


class Selection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Filters; each that is given must hold. An empty selection means all."""

    types: tuple[str, ...] = ()  # domain event classes (``FileImportFailed``); see ``resolved`` for wire names
    categories: tuple[str, ...] = ()  # of their queues
    addresses: tuple[str, ...] = ()  # ``order:42``, ``user:<id>``, ``everyone``; one is enough
    error_classes: tuple[str, ...] = ()  # qualified names, or their last part (``ConnectionError``)
    stages: tuple[str, ...] = ()  # ``extract``, ``decode``, …
    groups: tuple[str, ...] = ()  # of causes; a beginning is enough
    ids: tuple[str, ...] = ()  # letters or events, by id
    since_ms: int = 0  # not before, in ms of Redis time; letters by burial, retries by their last failure
    until_ms: int = FOREVER_MS  # not after
    text: str = ""  # must occur in the error, its traceback or the envelope, in any case of letters

    @property
    def is_everything(self) -> bool:
        """Whether no filter is given."""
        return self == Selection()

    def matches(self, item: "Facts | DeadLetter | RetryRecord | LetterHead") -> bool:
        """Whether every filter holds. The text is looked for only in what was read whole."""
        facts = item if isinstance(item, Facts) else facts_of(item)
        return (
            (not self.ids or facts.item_id in self.ids)
            and (not self.types or facts.task in map(task_name, self.types))
            and (not self.categories or facts.queue in self._queues())
            and (not self.addresses or not set(self.addresses).isdisjoint(facts.addresses))
            and (not self.stages or facts.stage in self.stages)
            and (not self.groups or facts.group.startswith(self.groups))
            and (not self.error_classes or any(is_class(facts.error_class, name) for name in self.error_classes))
            and self.since_ms <= facts.at_ms <= self.until_ms
            and (not self.text or self.text.casefold() in facts.text.casefold())
        )

    def _queues(self) -> set[str]:
        return {QUEUE_PREFIX + name for name in self.categories}

    def conditions(self) -> list[list[str]]:
        """The same filters, but for time, ids and text, as texts to find in a letter's head (``DeadLetters.look``)."""
        wanted = [
            [f'"task":{_quoted(task_name(name))}' for name in self.types],
            [f'"queue":{_quoted(name)}' for name in sorted(self._queues())],
            # What stands so in JSON, an element of a list, is no other field's value: those follow on a colon.
            [f"{before}{_quoted(address)}" for address in self.addresses for before in "[,"],
            [f'"stage":{_quoted(stage)}' for stage in self.stages],
            [f'"group":"{group}' for group in self.groups],
            [f'{before}{name}"' for name in self.error_classes for before in ('"error_class":"', ".")],
        ]
        return [words for words in wanted if words]

    def resolved(self, registry: Registry, *, also_categories: Collection[str] = ()) -> "Selection":
        """With wire names replaced by the domain event classes behind them; see ``known.resolve``.

        Args:
            registry: registry of this process.
            also_categories: that are known beside the registry's.

        Raises:
            SettingsError: a stage, category, group, address or id is none; a type is neither a class of the registry,
                nor looks like one of an older registry; the times leave nothing between them.
        """
        if self.since_ms > self.until_ms:
            raise SettingsError(f"{shown_time(self.since_ms)} (since) is after {shown_time(self.until_ms)} (until).")
        known: dict[str, list[str]] = {meta.event_type.value: [] for meta in registry.events}
        for row in registry.mappings:
            known[row.sse_event_type.value].append(row.domain_event_class.__name__)
        names: list[str] = []
        for name in self.types:
            # A class that the registry no longer has may well be what died.
            if name not in known and not name.isidentifier():
                raise SettingsError(f"There is no event type {echoed(name)}; see {command('registry')}.")
            names += known.get(name, [name])
        _check(self.stages, [stage.value for stage in Stage], "stage")
        categories = {category.value for category in registry.categories}.union(also_categories)
        _check(self.categories, sorted(categories), "category")
        groups = tuple(group.lower() for group in self.groups)
        for group in groups:
            if not _GROUP.fullmatch(group):
                raise SettingsError(f"{echoed(group)} is no group; see dead groups or retries groups.")
        addresses = tuple(str(address_in(text, registry)) for text in self.addresses)
        return msgspec.structs.replace(
            self, types=tuple(names), groups=groups, ids=tuple(map(_id_in, self.ids)), addresses=addresses
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON values; only the filters that are given."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Selection":
        """Reads ``as_dict``.

        Raises:
            SettingsError: they are no filters.
        """
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise SettingsError(f"This is no selection: {error}.") from error

    def __str__(self) -> str:
        words = [f"{name.removesuffix('_ms')} {_shown(name, value)}" for name, value in self.as_dict().items()]
        return ", ".join(words) or "everything"


def facts_of(item: DeadLetter | RetryRecord | LetterHead) -> Facts:
    """What a selection looks at."""
    if isinstance(item, LetterHead):
        return Facts(
            item_id=item.letter_id,
            task=item.task,
            queue=item.queue,
            addresses=item.addresses,
            stage=item.stage,
            error_class=item.error_class,
            group=item.group,
            at_ms=item.buried_ms,
        )
    if isinstance(item, DeadLetter):
        text = _text_of(item.failure, item.envelope, item.raw.decode("utf-8", "replace"))
        return msgspec.structs.replace(facts_of(head_of(item)), at_ms=_ms_of(item.buried_at), text=text)
    last = item.attempts[-1]
    return Facts(
        item_id=item.event_id,
        task=item.task,
        queue=item.queue,
        addresses=item.addresses,
        stage=last.failure.stage.value,
        error_class=last.failure.error_class,
        group=cause_of(last.failure).group,
        at_ms=_ms_of(last.at),
        text=_text_of(last.failure, item.envelope),
    )


def _text_of(failure: Failure, *contents: str) -> str:
    return "\n".join((failure.error_class, failure.message, failure.traceback, *contents))


def parse_time(text: str, now_ms: int) -> int:
    """``90s``, ``2h``, ``3d`` (so long ago), or RFC 3339; in ms, 0 to LAST_MS.

    Raises:
        SettingsError: it is neither, or before 1970 or after 9999.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return max(0, now_ms - int(ago[1]) * _UNIT_MS[ago[2]])
    try:
        at_ms = _ms_of(text.strip())
    except (ValueError, OverflowError):
        at_ms = -1
    if not 0 <= at_ms <= LAST_MS:
        raise SettingsError(f"{echoed(text)} is no time: give 30m, 2h, 7d, or 2026-11-21T08:00:00Z.")
    return at_ms


def of_user(user: str) -> str:
    """The address of a user, as text."""
    return f"{USER}:{user.strip()}"


def address_in(text: str, registry: Registry) -> Address:
    """The address that people write, as in the address of a stream.

    Raises:
        SettingsError: it is none of the registry's.
    """
    text = text.strip()
    try:
        return User(registry.users.parse(key_of(text))) if is_users(text) else registry.addresses.parse(text)
    except (IdError, AddressError) as error:
        raise SettingsError(str(error)) from None


def _ms_of(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def is_class(qualified: str, name: str) -> bool:
    """Whether a class is meant by a name: in full, or by its last part."""
    return qualified == name or qualified.endswith(f".{name}")


def _quoted(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _check(given: Sequence[str], known: Sequence[str], what: str) -> None:
    wrong = sorted(set(given).difference(known))
    if wrong:
        raise SettingsError(f"There is no {what} {', '.join(map(echoed, wrong))}; there are {', '.join(known)}.")


def _id_in(text: str) -> str:
    """An id as letters and retries have it; people paste it in other forms."""
    try:
        return str(UUID(text.strip()))
    except ValueError:
        raise SettingsError(f"{echoed(text)} is no id of a letter or an event, which is a UUID.") from None


def _shown(name: str, value: Any) -> str:
    if name in ("since_ms", "until_ms"):
        return shown_time(value)
    return "|".join(value) if isinstance(value, list | tuple) else repr(value)
