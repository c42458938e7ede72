"""How a name is called: its parameters with types and defaults, and what is public of a class."""

from typing import Any

import griffe

WIDTH = 100
INTERNAL = "# For the bridge itself"
"""Methods below this comment, in the same class, are not the public's."""
BEFORE_STAR = (griffe.ParameterKind.keyword_only, griffe.ParameterKind.var_keyword)


def parameters_of(thing: Any) -> list[Any]:
    """The parameters of a function, or of making an instance; without ``self``. A Struct's are its fields."""
    if thing.is_attribute:
        return []
    own = thing.is_function and not thing.parent.is_class
    given = [one for one in thing.parameters if own or one.name not in ("self", "cls")]
    if not thing.is_class or given or not is_struct(thing):
        return given
    kind = griffe.ParameterKind.keyword_only if "kw_only" in _keywords(thing) else None
    return [
        griffe.Parameter(field.name, annotation=field.annotation, default=field.value, kind=kind)
        for field in fields_of(thing)
    ]


def is_struct(thing: Any) -> bool:
    """Whether it is a msgspec Struct, whose fields are its parameters."""
    return any(str(base).endswith("Struct") for base in thing.bases)


def is_enum(thing: Any) -> bool:
    """Whether its public attributes are members of an enumeration."""
    return any(str(base) in ("StrEnum", "EventType", "Enum") for base in thing.bases)


def is_protocol(thing: Any) -> bool:
    """Whether others implement it."""
    return any(str(base).startswith("Protocol") for base in thing.bases)


def is_exception(thing: Any) -> bool:
    """Whether it is raised."""
    return bool(thing.name.endswith("Error"))


def fields_of(thing: Any) -> list[Any]:
    """The public attributes of a class that have a type, in order."""
    return [one for one in thing.attributes.values() if one.is_public and one.annotation and not is_property(one)]


def members_of(thing: Any) -> list[Any]:
    """The methods and properties of a class that are public: their own names say so, or a docstring of theirs."""
    functions = [one for one in thing.functions.values() if _is_offered(one)]
    properties = [one for one in thing.attributes.values() if is_property(one) and not one.name.startswith("_")]
    return [one for one in sorted([*properties, *functions], key=_place) if not _is_internal(one)]


def _place(thing: Any) -> tuple[str, int]:
    return str(thing.filepath), thing.lineno or 0


def _is_internal(method: Any) -> bool:
    """Whether it stands below the comment that ends what a class is for others."""
    lines = method.filepath.read_text(encoding="utf-8").splitlines()
    return any(line.strip().startswith(INTERNAL) for line in lines[method.parent.lineno - 1 : method.lineno - 1])


def is_property(thing: Any) -> bool:
    """Whether it is read as an attribute, and has a function behind it."""
    return bool(thing.is_attribute and "property" in thing.labels)


def _is_offered(function: Any) -> bool:
    if function.name in ("__init__", "__new__", "__post_init__", "__class_getitem__"):
        return False
    return not function.name.startswith("_") or (function.name.startswith("__") and function.docstring is not None)


def signature(name: str, thing: Any) -> str:
    """As it is called, in one line or a line a parameter."""
    if thing.is_attribute:
        return _attribute(name, thing)
    parts = _written(parameters_of(thing))
    start = "async def " if "async" in thing.labels else ""
    end = f" -> {_returned(thing)}" if thing.is_function and thing.returns is not None else ""
    line = f"{start}{name}({', '.join(parts)}){end}"
    if len(line) > WIDTH:
        line = "\n".join([f"{start}{name}(", *(f"    {part}," for part in parts), f"){end}"])
    return f"@classmethod\n{line}" if "classmethod" in thing.labels else line


def is_fixture(thing: Any) -> bool:
    """Whether pytest calls it."""
    return _is_decorated(thing, "fixture")


def _attribute(name: str, thing: Any) -> str:
    if thing.annotation is None:
        return name
    return f"{name} = {thing.value}" if str(thing.annotation) == "Final" else f"{name}: {thing.annotation}"


def _returned(function: Any) -> str:
    """What the caller has of it, which ``yield`` hides."""
    said = str(function.returns)
    if is_fixture(function):
        return said.removeprefix("Iterator[").removesuffix("]") if said.startswith("Iterator[") else said
    if _is_decorated(function, "contextmanager"):
        return said.replace("Iterator[", "ContextManager[", 1)
    return said


def _is_decorated(thing: Any, how: str) -> bool:
    return bool(thing.is_function) and any(str(one.value).partition("(")[0].endswith(how) for one in thing.decorators)


def _written(parameters: list[Any]) -> list[str]:
    parts: list[str] = []
    starred = False
    for one in (one for one in parameters if not one.name.startswith("_")):
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(one.kind, "")
        if one.kind is griffe.ParameterKind.keyword_only and not starred:
            parts.append("*")
        starred = starred or one.kind in BEFORE_STAR or stars == "*"
        typed = f": {one.annotation}" if one.annotation is not None else ""
        parts.append(f"{stars}{one.name}{typed}{_default(one)}")
    return parts


def _default(one: Any) -> str:
    if one.default is None or one.kind in (griffe.ParameterKind.var_positional, griffe.ParameterKind.var_keyword):
        return ""
    text = str(one.default)
    return " = …" if "(" in text or "lambda" in text else f" = {text}"


def _keywords(thing: Any) -> str:
    return str([line for line in thing.source.splitlines() if line.startswith("class ")][:1])
