"""``IdType``: an application's ids of users and of topics' keys, as values and as text. Both ways are here alone."""

import re
from contextlib import suppress
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from bridge.model.bounds import PARSER_ERRORS, USER_CHARS_MAX, USER_INT_MAX
from bridge.model.errors import IdError
from bridge.model.plain_text import echoed

Id: TypeAlias = UUID | int | str
"""A user's id, or a topic's key, as the application has it."""


# Braces mark what Redis hashes of a key, and a lone surrogate has no bytes in UTF-8.
_TEXT = re.compile(rf"[^\s{{}}\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{USER_CHARS_MAX}}}")
# UUID() also takes what int() does: signs, spaces, underscores, and the digits of every script.
_UUID = re.compile(r"(urn:)?(uuid:)?\{?[0-9a-f-]{32,36}\}?", re.ASCII | re.IGNORECASE)
_INT = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_TEXT_FORM = f"1 to {USER_CHARS_MAX} characters, without control characters, white space or braces"
_RESERVED = "sse:stream:broadcast"
"""The user whose seen marks belong to the broadcasts, behind any prefix."""


class IdType(msgspec.Struct, frozen=True):
    """One kind of id."""

    kind: type  # ``UUID``, ``int`` or ``str``
    noun: str  # the kind in words
    plural: str  # the same of all
    # Values of exactly this type are legal and normal as they are; None where each must be looked at
    plain: type | None = None

    @property
    def form(self) -> str:
        """One of them, in words."""
        return f"a {self.noun}"

    @classmethod
    def of(cls, kind: object) -> "IdType":
        """The kind of ids that ``UUID``, ``int`` or ``str`` stands for.

        Raises:
            IdError: it is none of these.
        """
        found = next((one for one in ID_TYPES if one.kind is kind), None)
        if found is None:
            name = kind.__name__ if isinstance(kind, type) else repr(kind)
            raise IdError(f"ids can be UUID, int or str, not {name}.")
        return found

    def parse(self, text: str) -> Id:
        """The id that a text says. A UUID may have braces, ``urn:uuid:`` or no hyphens; a number must be canonical.

        Raises:
            IdError: it says none, or is no text, as a header or a cookie that is not there.
        """
        if not isinstance(text, str):
            raise IdError(f"a user id is read from a text, not {type(text).__name__}.")
        try:
            if self.kind is UUID and _UUID.fullmatch(text):
                return UUID(text)
            if self.kind is str:
                return self.checked(text)
            if self.kind is int and _INT.fullmatch(text):
                return self.checked(int(text))
        except ValueError:
            pass
        raise IdError(f"{echoed(text)} is no user id: those are {self.plural}.")

    def read(self, value: object) -> Id:
        """The id in a JSON value or a claim: a text, or what the application itself has.

        Raises:
            IdError: there is none.
        """
        return self.parse(value) if isinstance(value, str) else self.checked(value)

    def checked(self, value: object, what: str = "user_id") -> Id:
        """An id that the application gave, as a plain value: no subclass's text can get into a key.

        Raises:
            IdError: it is of another kind, or out of bounds. The sentence names it as ``what``, and does not repeat it.
        """
        if not isinstance(value, self.kind) or isinstance(value, bool):
            hint = ": give its id" if _has_id(value) else ""
            raise IdError(f"{what} must be {self.form}, not {type(value).__name__}{hint}.")
        if isinstance(value, UUID):
            return value
        if isinstance(value, int):
            if not -USER_INT_MAX - 1 <= value <= USER_INT_MAX:
                raise IdError(f"{what} must be a whole number of at most 64 bits.")
            return int.__int__(value)
        text = str.__str__(value)
        if not is_id_text(text) or text.endswith(_RESERVED):
            raise IdError(f"{what} must have {_TEXT_FORM}.")
        return text

    def text(self, value: object) -> str:
        """The canonical text of an id, as it stands in keys and messages; raises as ``checked``."""
        return str(self.checked(value))


def _has_id(value: object) -> bool:
    """Whether it is an object in the place of its id."""
    with suppress(Exception):  # a property of the application's
        return hasattr(value, "id")
    return False


UUIDS: Final = IdType(UUID, "UUID", "UUIDs", UUID)
INTS: Final = IdType(int, "whole number", "whole numbers of at most 64 bits, such as 42")
TEXTS: Final = IdType(str, "text", f"texts of {_TEXT_FORM}")
ID_TYPES: Final = (UUIDS, INTS, TEXTS)


def is_id_text(text: str) -> bool:
    """Whether a text could be the canonical text of an id, of whatever kind."""
    return _TEXT.fullmatch(text) is not None


UUID_CHARS = 36
"""Of a UUID with its hyphens."""


class _Data(msgspec.Struct, frozen=True):
    user_id: str | int | None = None


class _Addressed(msgspec.Struct, frozen=True):
    data: _Data = _Data()


def user_in(envelope: str) -> str:
    """The ``user_id`` in an envelope's data, if it could be one of any kind; empty if not."""
    try:
        user_id = msgspec.json.decode(envelope, type=_Addressed).data.user_id
    except PARSER_ERRORS:
        return ""
    with suppress(IdError):
        if isinstance(user_id, int):
            return INTS.text(user_id)
        # In its other forms a UUID may as well be an application's text, and that must stay as it is.
        if user_id and len(user_id) == UUID_CHARS:
            return UUIDS.text(UUIDS.parse(user_id))
    return user_id if isinstance(user_id, str) and is_id_text(user_id) else ""
