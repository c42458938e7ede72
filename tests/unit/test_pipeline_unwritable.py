"""Which value of an event JSON cannot express: the refusal names its field, and what to give instead."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge import Emitter, Event, Settings, catalog_of
from bridge.model.errors import EventRefusedError
from bridge.testing import capture

NOWHERE = Settings(broker_url="redis://127.0.0.1:1/0")


class BookReturned(Event):
    user_id: int
    more: Any = None


@dataclass
class Shelf:
    books: list[Any] = field(default_factory=list)


class Account:
    def __init__(self) -> None:
        self.pk = self.id = 1


class Plain:
    pass


class Asked:
    @property
    def id(self) -> int:
        raise RuntimeError("no database")


registry = catalog_of({"book.returned": BookReturned}, user_id=int)
ID = "which JSON cannot express: give its id, .pk"
ELSE = "which JSON cannot express: give a text, a number, or a list or dict of such"
CASES: list[tuple[dict[str, Any], str]] = [
    ({"user_id": Account()}, f"BookReturned.user_id is of type Account, {ID}."),
    ({"user_id": 1, "more": Account()}, f"BookReturned.more is of type Account, {ID}."),
    ({"user_id": 1, "more": {"by": [1, Account()]}}, f"BookReturned.more.by[1] is of type Account, {ID}."),
    ({"user_id": 1, "more": Shelf([Plain()])}, f"BookReturned.more.books[0] is of type Plain, {ELSE}."),
    ({"user_id": 1, "more": (1, 1j)}, f"BookReturned.more[1] is of type complex, {ELSE}."),
    ({"user_id": 1, "more": Asked()}, f"BookReturned.more is of type Asked, {ELSE}."),
    ({"user_id": 1, "more": {(1, 2): 3}}, "BookReturned.more has a key that is no text or number; JSON has no others."),
    ({"user_id": 1, "more": ["\ud800"]}, "BookReturned.more[0] holds a lone surrogate, which UTF-8 has no bytes for."),
]


@pytest.mark.parametrize(("values", "sentence"), CASES, ids=[text for _, text in CASES])
def test_a_refusal_names_the_field_and_what_to_give(values: dict[str, Any], sentence: str) -> None:
    def many(emitter: Emitter, event: Any) -> None:
        emitter.emit_many([event])

    emitter = Emitter(NOWHERE, registry, strict=True)
    ways: list[Callable[[Emitter, Any], Any]] = [Emitter.emit, many]
    for way in ways:
        with pytest.raises(EventRefusedError) as refused:
            way(emitter, BookReturned(**values))
        assert str(refused.value).endswith(f" was not accepted: {sentence}")


def test_a_test_sees_the_same_sentence() -> None:
    with capture(registry) as emitted:
        assert not Emitter(NOWHERE, registry).emit(BookReturned(user_id=Account()))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=r"BookReturned\.user_id is of type Account, .* give its id, \.pk\."):
        emitted.nothing()


def test_an_event_that_holds_itself_is_refused_without_a_path_of_its_levels() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(EventRefusedError) as refused:
        Emitter(NOWHERE, registry, strict=True).emit(BookReturned(user_id=1, more=ring))
    assert "[0][0]" not in str(refused.value)
