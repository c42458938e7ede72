"""``raised_by``: the exceptions that reach a caller, as far as the source and the callees' docstrings tell.

What is called by a variable, an attribute other than ``self``'s, or a library is not followed. What a callee of another
module raises that is no BridgeError is about its arguments, which are the caller's to get right.
"""

import ast
import builtins
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bridge.model import errors
from reference.inherited import docstring_of, resolved

MAKERS = ("__init__", "__post_init__")
NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def raised_by(thing: Any) -> set[str]:
    """The names of the exceptions that a function raises, or the making of an instance."""
    if thing.is_class:
        return {error for name in MAKERS if name in thing.members for error in raised_by(thing.members[name])}
    return set(_from_function(thing, frozenset()))


def is_a(error: str, other: str) -> bool:
    """Whether one exception is another, or derived from it."""
    one, base = _class_of(error), _class_of(other)
    return error == other or bool(one and base and issubclass(one, base))


def _class_of(name: str) -> Any:
    return getattr(errors, name, None) or getattr(builtins, name, None)


def _from_function(function: Any, seen: frozenset[str]) -> Iterator[str]:
    name = function.path.removeprefix(f"{function.module.path}.")
    node = _nodes(function.filepath).get(name)
    if node is not None and function.path not in seen:
        yield from _Body(function, seen | {function.path}).raised(node.body)


@cache
def _nodes(file: Path) -> dict[str, Any]:
    """The functions of a file by their names, methods with their class; the last of a name, after its overloads."""
    found: dict[str, Any] = {}
    todo: list[tuple[str, ast.AST]] = [("", ast.parse(file.read_text(encoding="utf-8")))]
    while todo:
        before, node = todo.pop(0)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found[before + child.name] = child
            elif isinstance(child, ast.ClassDef):
                todo.append((f"{before}{child.name}.", child))
    return found


class _Body:
    """The statements of one function."""

    def __init__(self, function: Any, seen: frozenset[str]) -> None:
        self._function = function
        self._seen = seen

    def raised(self, nodes: Iterable[ast.AST]) -> Iterator[str]:
        for node in nodes:
            match node:
                case ast.Try():
                    caught = [name for handler in node.handlers for name in _caught_by(handler)]
                    yield from self._but(caught, node.body)
                    yield from self.raised([*node.handlers, *node.orelse, *node.finalbody])
                case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Name(id="suppress"), args=names))]):
                    yield from self._but([ast.unparse(name) for name in names], node.body)
                case ast.Raise(exc=ast.Call(func=called, args=arguments)) if _exception(called):
                    yield _exception(called)
                    yield from self.raised(arguments)
                case ast.Raise(exc=ast.Name() as named) if _exception(named):
                    yield _exception(named)
                case ast.Call():
                    yield from self._by_call(node.func)
                    yield from self.raised(ast.iter_child_nodes(node))
                case _ if not isinstance(node, NESTED):
                    yield from self.raised(ast.iter_child_nodes(node))

    def _but(self, caught: list[str], body: list[ast.stmt]) -> Iterator[str]:
        yield from (error for error in self.raised(body) if not any(is_a(error, one) for one in caught))

    def _by_call(self, called: ast.expr) -> Iterator[str]:
        match called:
            case ast.Name(id=name):
                callee = resolved(name, self._function)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if self._function.parent.is_class:
                callee = self._function.parent.members.get(name)
            case _:
                return
        if callee is None or not callee.is_function:
            return
        near = callee.module.path == self._function.module.path
        told = [error for error, _ in docstring_of(callee).raises if near or is_a(error, "BridgeError")]
        yield from told or (_from_function(callee, self._seen) if near else ())


def _exception(node: ast.expr) -> str:
    name = ast.unparse(node).rpartition(".")[2]
    return name if name[:1].isupper() else ""


def _caught_by(handler: ast.ExceptHandler) -> list[str]:
    if handler.type is None:
        return ["BaseException"]
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return [ast.unparse(one).rpartition(".")[2] for one in types]
