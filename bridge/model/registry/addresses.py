"""``Address``: an audience as value and as text: a user, a topic such as ``order:42``, or everyone. Pure."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from bridge.model.bounds import HEARD_MAX
from bridge.model.errors import AddressError, IdError
from bridge.model.plain_text import echoed
from bridge.model.registry.identifiers import ID_TYPES, Id, IdType, user_in

USER: Final = "user"
"""What the text of a user's address begins with."""
EVERYONE_TEXT: Final = "everyone"
RESERVED_NAMES: Final = frozenset({USER, EVERYONE_TEXT})
"""What no topic may be called."""
ADDRESSES_MAX = 100
"""Addresses of one event, at most."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
NAME_FORM: Final = "a letter and at most 39 lowercase letters, digits, '_' or '-'"


class User(msgspec.Struct, frozen=True):
    """The address of one user.

    Attributes:
        id: of the registry's kind; a text has 1 to 128 characters, a number at most 64 bits.

    Raises:
        IdError: no application can have such an id.
    """

    id: Id

    def __post_init__(self) -> None:
        force_setattr(self, "id", _plain(self.id))

    def __str__(self) -> str:
        return f"{USER}:{self.id}"


class TopicAddress(msgspec.Struct, frozen=True):
    """The address of all who listen to one topic: ``order:42``. Made by calling the Topic.

    Raises:
        AddressError: no topic can be called so.
        IdError: no topic can have such a key.
    """

    name: str
    key: Id

    def __post_init__(self) -> None:
        _check_name(self.name)
        force_setattr(self, "key", _plain(self.key))

    def __str__(self) -> str:
        return f"{self.name}:{self.key}"


class Everyone(msgspec.Struct, frozen=True):
    """The address of every connected client."""

    def __str__(self) -> str:
        return EVERYONE_TEXT


EVERYONE: Final = Everyone()
"""The address of every connected client, whoever they are."""
Address: TypeAlias = User | TopicAddress | Everyone
"""The audience of an event: one user, all who listen to one topic, or everyone."""
MayHear: TypeAlias = Callable[[Any, Any], bool | Awaitable[bool | None] | None]
"""The principal and a key → whether that client may hear the topic with that key; None is no."""


def named_in(envelope: str) -> tuple[str, ...]:
    """The address, as text, of the user that an envelope's data names; nothing if they name none."""
    user = user_in(envelope)
    return (f"{USER}:{user}",) if user else ()


def is_users(address: str) -> bool:
    """Whether an address, as text, is a user's."""
    return address.startswith(f"{USER}:")


def key_of(address: str) -> str:
    """Of an address as text: the user's id, or the topic's key; empty of everyone's."""
    return address.partition(":")[2]


def user_of(addresses: Iterable[str]) -> str:
    """The id of the first user among addresses, as text; empty if there is none."""
    return next((key_of(one) for one in addresses if is_users(one)), "")


def heard(addresses: Sequence[Address]) -> list[Address]:
    """What a client hears that is told these addresses: each once, and everyone's last.

    Raises:
        ValueError: they are HEARD_MAX or more.
    """
    if len(addresses) >= HEARD_MAX:
        raise ValueError(f"One client can hear fewer than {HEARD_MAX} addresses, not {len(addresses)}.")
    return [*dict.fromkeys(one for one in addresses if one != EVERYONE), EVERYONE]


class Topic(msgspec.Struct, frozen=True):
    """A kind of thing that clients may listen to, as a registry declares it: ``order = Topic("order", int)``.

    Attributes:
        name: 1 to 40 lowercase letters, digits, ``_`` or ``-``; begins with a letter.
        kind: type of its keys: ``UUID``, ``int`` or ``str``.
        may_hear: who may listen: a function of the gateway's ``Principal`` and the key, sync (run in a thread) or
            async, that returns True, or False or None. It is asked before a stream is opened, and again now and then
            while it is open. Anything else that it returns, an exception, or 10 s without an answer opens nothing.
            None leaves it to ``Principal.topics``.

    Raises:
        AddressError: the name is none, or reserved; or ``may_hear`` is no such function.
        IdError: there are no such keys.
    """

    name: str
    kind: type = str
    may_hear: MayHear | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        IdType.of(self.kind)
        _check_rule(self.name, self.may_hear)

    def __call__(self, key: Id) -> TopicAddress:
        """The address of the thing with that ``key``: ``order(42)``.

        Raises:
            IdError: it is not of the topic's kind.
        """
        return TopicAddress(self.name, IdType.of(self.kind).checked(key, f"the key of {self.name}"))


class AddressBook:
    """Which addresses there are, by the id type and the topics of a registry."""

    __slots__ = ("_topics", "users")

    def __init__(self, users: IdType, topics: Iterable[Topic]) -> None:
        self.users = users
        self._topics = {topic.name: topic for topic in topics}

    def parse(self, text: str) -> Address:
        """The address that a text says: ``user:<id>``, ``<topic>:<key>`` or ``everyone``; ``str`` writes it again.

        Raises:
            AddressError: it says none, or is no text.
        """
        if not isinstance(text, str):
            raise AddressError(f"an address is read from a text, not {_name(text)}.")
        if text == EVERYONE_TEXT:
            return EVERYONE
        name, colon, key = text.partition(":")
        if not colon:
            raise AddressError(f"{echoed(text)} is no address: those are {self.forms}.")
        ids = self.users if name == USER else IdType.of(self._declared(name).kind)
        try:
            key_of = ids.parse(key)
        except IdError:
            raise AddressError(f"{echoed(text)} is no address: what follows {name}: must be {ids.form}.") from None
        return User(key_of) if name == USER else TopicAddress(name, key_of)

    def checked(self, address: object) -> Address:
        """An address that exists here.

        Raises:
            AddressError: it is invalid, its topic is not declared, or its id is of another kind.
        """
        try:
            if isinstance(address, User):
                self.users.checked(address.id)
            elif isinstance(address, TopicAddress):
                self._declared(address.name)(address.key)
            elif not isinstance(address, Everyone):
                raise AddressError(f"an address is User(id), a topic's, or EVERYONE, not {_name(address)}.")
        except IdError as error:
            raise AddressError(f"{_name(address)}: {error}") from None
        return address

    def all_checked(self, told: object) -> tuple[Address, ...]:
        """The addresses of one event: one, several (each once, in their order), or None or nothing for no recipient.

        Raises:
            AddressError: as for ``checked``; or they are more than ADDRESSES_MAX.
        """
        several = told if isinstance(told, list | tuple | set | frozenset) else () if told is None else (told,)
        if len(several) > ADDRESSES_MAX:
            raise AddressError(f"one event can have {ADDRESSES_MAX} addresses at most, not {len(several)}.")
        return tuple(dict.fromkeys(map(self.checked, several)))

    def _declared(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            there_are = f"there are {', '.join(self._topics)}" if self._topics else "none is declared"
            raise AddressError(f"there is no topic {echoed(name)} in this registry; {there_are}.")
        return topic

    @property
    def forms(self) -> str:
        """What addresses look like here, in words."""
        return ", ".join([f"{USER}:<id>", *(f"{name}:<key>" for name in self._topics)]) + f" and {EVERYONE_TEXT}"


def is_name(name: object) -> bool:
    """Whether a topic, or a class of retention, can be called so: its name becomes part of keys."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _check_name(name: object) -> None:
    if not is_name(name):
        raise AddressError(f"a topic's name is {NAME_FORM}, not {name!r}.")
    if name in RESERVED_NAMES:
        raise AddressError(f"no topic may be called {name!r}: that is an address of another kind.")


def _check_rule(name: str, rule: object) -> None:
    if rule is None:
        return
    if not callable(rule):
        raise AddressError(f"may_hear of {name} must be a function of the principal and the key, not {_name(rule)}.")
    try:
        signature = inspect.signature(rule)
    except (ValueError, TypeError):  # none is known of some callables
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise AddressError(f"may_hear of {name} must take two arguments: the principal and the key.") from None


def _plain(value: object) -> Id:
    """An id of any kind, as a plain value."""
    for one in ID_TYPES:
        if isinstance(value, one.kind):
            return one.checked(value, "an id")
    raise IdError(f"an id is a UUID, an int or a str, not {_name(value)}.")


def _name(value: object) -> str:
    return type(value).__name__
