"""The rows of a registry: what an event type is, how a domain event becomes one; and the names that follow."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeAlias, TypeVar

from bridge.model.registry.addresses import NAME_FORM, Address, is_name
from bridge.model.registry.identifiers import Id
from bridge.model.registry.payload_type import keys_of
from bridge.model.registry.sealed_list import SealedList

if TYPE_CHECKING:
    from typing_extensions import TypeVar as DefaultTypeVar

    class AnyEvent(Protocol):
        """A domain event of whatever class; the registry judges what the fields hold."""

        @property
        def event_id(self) -> object:
            """A UUID."""

        @property
        def occurred_at(self) -> object:
            """An aware datetime."""

    # Without a type in brackets a mapping is one of any event. What is made where such a one is expected must still be
    # judged by its own class: for that the constructor has a variable of its own, which does not allow ``object``.
    Event_co = DefaultTypeVar("Event_co", covariant=True, default=object)
    Event = TypeVar("Event", bound=AnyEvent)
else:
    Event_co = TypeVar("Event_co", covariant=True)

MAX_DELAY_S = 31_536_000
"""A year: the longest wait that a policy may ask for."""

RETAINED_MAX = 1_000_000
LIFE_MAX_S = 31_536_000
"""What a class of retention may keep, as the settings may."""
LIFE_MIN_S = 180
"""No class is kept for less: a connected client looks for gaps in its history every 90 seconds at most, and must find
none that is only the class having expired since."""
RETENTIONS_MAX = 7
"""Classes of retention of one registry, the settings' own not counted."""
_FROZEN_FIELDS = "payload_fields are part of immutable metadata; make a new SSEEventMetadata instead."
_NOT_GIVEN: SealedList[str] = SealedList.of((), _FROZEN_FIELDS)


class Audience(StrEnum):
    """Who receives a published event."""

    USER = "user"
    """The one user that ``user_id_extractor`` names."""
    BROADCAST = "broadcast"
    """Every connected client."""


Addressing: TypeAlias = Callable[[Any], Address | Collection[Address] | None]
"""Domain event → its audience: one address, several, or None for no recipient."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How often and how patiently a failing extractor is tried again.

    Attributes:
        attempts: tries in all, the first included; 1..100.
        base_s: upper bound of the wait after the first failure, in seconds; doubles with each attempt.
        cap_s: upper bound of any wait, in seconds; at most a year.

    Raises:
        ValueError: a value is out of its range.
    """

    attempts: int = 5
    base_s: float = 1.0
    cap_s: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 100:
            raise ValueError(f"RetryPolicy.attempts must be 1..100, not {self.attempts}.")
        if not 0 <= self.base_s <= self.cap_s <= MAX_DELAY_S:
            raise ValueError(
                f"RetryPolicy needs 0 <= base_s <= cap_s <= {MAX_DELAY_S}, "
                f"not base_s={self.base_s}, cap_s={self.cap_s}."
            )

    def delay_s(self, attempt: int, random: Callable[[], float]) -> float:
        """Seconds to wait after ``attempt`` (1-based) failed: exponential, full jitter by ``random``, in [0, 1)."""
        # 2**60 s exceeds every cap; the clamp keeps the power from overflowing a float.
        ceiling_s = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 60))
        return ceiling_s * random()


@dataclass(frozen=True, slots=True)
class DropAfter:
    """Staleness: an event that is older than this when it is redriven is discarded instead.

    Attributes:
        after_s: seconds since it occurred; above 0.

    Raises:
        ValueError: it is out of range.
    """

    after_s: float

    def __post_init__(self) -> None:
        if not self.after_s > 0:
            raise ValueError(f"DropAfter.after_s must be above 0, not {self.after_s}.")


@dataclass(frozen=True, slots=True)
class Supersede:
    """Staleness: an event is not redriven when a newer one about the same thing is, or was published already.

    Attributes:
        key: a payload field, or a function of the payload. Events of one type, for the same user or addresses,
            with equal keys supersede each other.
    """

    key: str | Callable[[dict[str, Any]], object]

    def key_of(self, payload: dict[str, Any]) -> object:
        """What the event with that ``payload`` is about.

        Raises:
            Exception: the payload has no such field, or the function raises.
        """
        return payload[self.key] if isinstance(self.key, str) else self.key(payload)


Staleness: TypeAlias = DropAfter | Supersede
"""What a redrive of dead letters does with an old event."""


@dataclass(frozen=True, slots=True)
class Retention:
    """A class of retention: what is in it is kept apart, so that chatter cannot push an alarm out of the history.

    Each address has a stream for each class. What is in none is kept by the settings, as what has no numbers here.

    Attributes:
        name: 1 to 40 lowercase letters, digits, ``_`` or ``-``; begins with a letter.
        length: events that are kept for each address, 1..1,000,000; None: ``BRIDGE_STREAM_MAXLEN``.
        seconds: how long after the newest of them at least, 1..31,536,000, and in any case for three minutes; None:
            ``BRIDGE_STREAM_TTL_S``.

    Raises:
        ValueError: a value is out of its range.
    """

    name: str
    length: int | None = None
    seconds: int | None = None

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"Retention.name is {NAME_FORM}, not {self.name!r}.")
        for name, value, most in (("length", self.length, RETAINED_MAX), ("seconds", self.seconds, LIFE_MAX_S)):
            if value is not None and not (type(value) is int and 1 <= value <= most):
                raise ValueError(f"Retention.{name} must be a whole number from 1 to {most}, or None, not {value!r}.")

    def life_s(self, default_s: int) -> int:
        """How long its streams live after their newest event, where the settings' live for ``default_s``."""
        return max(self.seconds, LIFE_MIN_S) if self.seconds else default_s


@dataclass(frozen=True, slots=True)
class SSEEventMetadata:
    """What the registry knows of one event type.

    Attributes:
        event_type: the StrEnum member; its value is the wire name.
        category: by which clients filter and workers queue.
        description: one sentence for people.
        payload_fields: the keys of the payload, in order; a contract that every extractor is held to. Any iterable
            of names is taken; what is kept is a list that equals it and cannot be changed. Default: ``payload``'s.
        retention: how much of its history is kept; None: as its category's, by the registry, or as the settings say.
        payload: a TypedDict, dataclass, attrs class or msgspec Struct with the payload's keys and their types. The
            registry holds samples to it, a worker no event: it costs nothing there.

    Raises:
        ValueError: ``payload_fields`` is one text, or differs from the keys of ``payload``; or that is no such type.
    """

    event_type: StrEnum
    category: StrEnum
    description: str
    payload_fields: Sequence[str] = field(default_factory=lambda: _NOT_GIVEN)
    retention: Retention | None = None
    payload: type[Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        # A text would be a field for each of its letters.
        if isinstance(self.payload_fields, str) or not isinstance(self.payload_fields, Iterable):
            raise ValueError(f"payload_fields must be a list of names, not {self.payload_fields!r}.")
        fields = tuple(self.payload_fields)
        if self.payload is not None:
            fields = self._agreed(fields)
        object.__setattr__(self, "payload_fields", SealedList.of(fields, _FROZEN_FIELDS))

    def _agreed(self, given: tuple[str, ...]) -> tuple[str, ...]:
        name = getattr(self.event_type, "value", self.event_type)
        try:
            keys = tuple(keys_of(self.payload))
        except ValueError as error:
            raise ValueError(f"payload of {name}: {error}.") from None
        if self.payload_fields is _NOT_GIVEN:
            return keys
        if set(given) != set(keys):
            raise ValueError(
                f"payload_fields of {name} are ({', '.join(map(str, given))}), but its payload has "
                f"({', '.join(keys)}); leave payload_fields out, or let them agree."
            )
        return given


@dataclass(frozen=True, slots=True)
class DomainToSSEMapping(Generic[Event_co]):
    """How a domain event becomes an SSE event.

    ``DomainToSSEMapping[OrderPaid]`` to type checkers, which find it out by the first argument and judge the functions
    by it; at run time the same class.

    Attributes:
        domain_event_class: a dataclass, attrs class or msgspec Struct with ``event_id`` and ``occurred_at``.
        sse_event_type: the type that is published.
        payload_extractor: domain event → payload; its keys must equal the type's ``payload_fields``.
            May be run again after a failure or a crash, so it must not change anything.
        user_id_extractor: domain event → id of the user to tell, of the registry's kind, or None for no recipient.
            Where ``audience`` says who is told, it only says whose the event is, and may be left out.
        retry: policy of this mapping; None means the settings' policy.
        audience: the user (default), broadcast, or a function: domain event → one address or several
            (``User(id)``, a topic's, ``EVERYONE``; 100 at most), or None for no recipient.
        example: makes a sample event, or a list of several, on which `sse-bridge check` rehearses the mapping;
            needed only where those that are built from the class's type hints are not like real ones.
        staleness: what a redrive of dead letters does with an old event; None redrives it, however old.
    """

    domain_event_class: type[Event_co]
    sse_event_type: StrEnum
    payload_extractor: Callable[[Event_co], Mapping[str, Any]]  # to be a dict; a TypedDict is one, and not to checkers
    user_id_extractor: Callable[[Event_co], Id | None] | None = None
    retry: RetryPolicy | None = None
    audience: Audience | Addressing = Audience.USER
    example: Callable[[], Any] | None = None
    staleness: Staleness | None = None

    if TYPE_CHECKING:

        def __init__(
            self: "DomainToSSEMapping[Event]",
            domain_event_class: type[Event],
            sse_event_type: StrEnum,
            payload_extractor: Callable[[Event], Mapping[str, Any]],
            user_id_extractor: Callable[[Event], Id | None] | None = None,
            retry: RetryPolicy | None = None,
            audience: Audience | Callable[[Event], Address | Collection[Address] | None] = Audience.USER,
            example: Callable[[], Event | Sequence[Event]] | None = None,
            staleness: Staleness | None = None,
        ) -> None: ...
    else:

        def __class_getitem__(cls, _event: object) -> type[Self]:
            """The class itself: Python would note an alias in what is made by it, and what is frozen takes no note."""
            return cls

    @property
    def audience_words(self) -> str:
        """Who is told, in a word: ``user``, ``broadcast``, or ``addresses`` where a function says it."""
        return str(self.audience) if isinstance(self.audience, Audience) else "addresses"

    @property
    def user_field(self) -> str | None:
        """The attribute of the event that ``user_id_extractor`` returns as it is, if it does nothing else."""
        return attribute_returned(self.user_id_extractor) if self.user_id_extractor else None


# Names on the broker and on the wire, which are derived from the registry and from nothing else

TASK_PREFIX = "bridge."
QUEUE_PREFIX = "bridge."

_WIRE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){1,2}", re.ASCII)
_CATEGORY = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
MAX_WIRE_NAME_LENGTH = 100
MAX_CLASS_NAME_LENGTH = 200
"""A task's name holds it, and a message may name a task by 255 characters."""

RESERVED_PREFIX = "stream."
"""Wire names of the bridge's own control events (``stream.reset``)."""


def task_name(event_class_name: str) -> str:
    """The Celery task of a domain event class: ``bridge.<DomainEventClass>``."""
    return TASK_PREFIX + event_class_name


def queue_name(category: StrEnum) -> str:
    """The queue of a category: ``bridge.<category>``."""
    return QUEUE_PREFIX + category.value


def is_wire_name(name: str) -> bool:
    """Whether ``name`` is two or three lowercase segments joined by dots, at most 100 characters."""
    return len(name) <= MAX_WIRE_NAME_LENGTH and _WIRE_NAME.fullmatch(name) is not None


def is_category_name(name: str) -> bool:
    """Whether ``name`` is one lowercase segment."""
    return len(name) <= MAX_WIRE_NAME_LENGTH and _CATEGORY.fullmatch(name) is not None


class _Probe:
    """Stands for an event, and notes what is read of it."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: list[tuple[str, object]] = []

    def __getattr__(self, name: str) -> object:
        value = object()
        self.read.append((name, value))
        return value


def attribute_returned(extractor: Callable[[Any], object]) -> str | None:
    """The one attribute that an extractor reads, if it returns it as it is."""
    probe = _Probe()
    try:
        result = extractor(probe)
    except Exception:  # it wanted a real event
        return None
    match probe.read:
        case [(name, value)] if value is result:
            return name
    return None
