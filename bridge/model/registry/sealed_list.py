"""``SealedList``: a list that the registry's tables are kept in; once sealed, it is a value."""

from collections.abc import Iterable
from typing import Any, NoReturn, Self, TypeVar

T = TypeVar("T")


class SealedList(list[T]):
    """A list that is open until it is sealed, and refuses every change from then on.

    Equal to any list or tuple of the same items; hashable, as what is sealed is a value.
    """

    __slots__ = ("_refusal",)

    def __init__(self, items: Iterable[T] = ()) -> None:
        super().__init__(items)
        self._refusal = ""

    @classmethod
    def of(cls, items: Iterable[T], refusal: str) -> Self:
        """A list of ``items`` that is sealed from the start."""
        return cls(items).seal(refusal)

    def seal(self, refusal: str) -> Self:
        """Refuse changes from now on. Returns the list itself.

        ``refusal`` is one sentence for the caller that tries, saying what to do instead.
        """
        self._refusal = refusal
        return self

    def __eq__(self, other: object) -> bool:
        return list.__eq__(self, list(other)) if isinstance(other, list | tuple) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self).of, (tuple(self), self._refusal)

    def _refuse(self) -> NoReturn:
        raise TypeError(self._refusal)


def _guarded(name: str) -> Any:
    change = getattr(list, name)

    def method(self: SealedList[Any], *args: Any, **kwargs: Any) -> Any:
        """The list's own, unless the list is sealed."""
        if self._refusal:
            self._refuse()
        return change(self, *args, **kwargs)

    method.__name__ = name
    return method


for _name in (
    "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
    "__delitem__", "__iadd__", "__imul__", "__setitem__",
):  # fmt: skip
    setattr(SealedList, _name, _guarded(_name))
