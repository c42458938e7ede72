"""How a setting is declared, once and with all that is to be known of it, and what a declaration does with a value."""

import re
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from bridge.settings.urls import MASK, shown_url

PREFIX = "BRIDGE_"
T = TypeVar("T")


class Mark(Enum):
    """What is particular about a setting."""

    URL = "shown without its password"
    SECRET = "never shown"  # noqa: S105
    PATH = "may be any bytes"
    ROUTING = "if its name is mistyped, events go elsewhere without a word"
    SAFETY = "if its name is mistyped, somebody may read what is not for them"


URL, SECRET, PATH, ROUTING, SAFETY = Mark


class Form(NamedTuple):
    """What a text must look like, in words and as a pattern of linear time."""

    words: str
    pattern: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Declaration:
    """One setting."""

    name: str  # of the field; ``environment_name`` of it is the variable
    default: Any  # its value where the environment says nothing, and so its type: str, int, float or bool
    about: str  # what it is for, a sentence
    marks: tuple[Mark, ...]
    between: tuple[float, float] | None  # least and greatest number
    chars: tuple[int, int | None] | None  # least and greatest length of a text; None: no greatest
    form: Form | None

    @property
    def critical(self) -> bool:
        """Whether a name that is probably a mistyped form of this one must stop whoever reads it."""
        return ROUTING in self.marks or SAFETY in self.marks

    def read(self, value: object) -> Any:
        """A text of the environment, or a value of the setting's type, as one of that type.

        Raises:
            ValueError: it does not fit. The message may hold the value, which may be a secret.
        """
        found = msgspec.convert(value, type(self.default), strict=not isinstance(value, str))
        if isinstance(found, str) and PATH not in self.marks:
            found.encode()
        if (
            (self.between and not self.between[0] <= found <= self.between[1])
            or (self.chars and not self.chars[0] <= len(found) <= (self.chars[1] or len(found)))
            or (self.form and not re.fullmatch(self.form.pattern, found))
        ):
            raise ValueError(f"{self.name} does not fit.")
        return found

    def demand(self) -> str:
        """What a value must be, after "must"."""
        if self.between:
            number = "a whole number" if isinstance(self.default, int) else "a number"
            return f"be {number} between {self.between[0]} and {self.between[1]}"
        if self.chars:
            return f"be {self.chars[0]} to {self.chars[1]} characters long" if self.chars[1] else "not be empty"
        if self.form:
            return f"be {self.form.words}"
        return "be 1 or 0, true or false" if isinstance(self.default, bool) else "be text"

    def shown(self, value: Any) -> Any:
        """A value as it may appear on a screen or in a log."""
        if SECRET in self.marks:
            return MASK if value else ""
        return shown_url(value) if URL in self.marks else value


def setting(
    default: T,
    about: str,
    *marks: Mark,
    between: tuple[float, float] | None = None,
    chars: tuple[int, int | None] | None = None,
    form: Form | None = None,
) -> T:
    """Declare a setting, as a field of one of the parts: see ``Declaration``."""
    declare = partial(Declaration, default=default, about=about, marks=marks, between=between, chars=chars, form=form)
    return field(default=default, metadata={"declare": declare})


def declarations(part: Any) -> dict[str, Declaration]:
    """The settings that a class declares or inherits, by the names of their fields."""
    return {one.name: one.metadata["declare"](name=one.name) for one in fields(part)}


def environment_name(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()
