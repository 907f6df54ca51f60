"""Hypotheses as text: equations in the parameters' names, read as functions of the parameters."""

import ast
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

OPERATORS: Final[dict[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
FUNCTIONS: Final = {
    name: getattr(np, name) for name in ("exp", "log", "sqrt", "expm1", "log1p", "sin", "cos", "tanh")
}


def parse(text: str, names: Sequence[str]) -> list[Callable[[Any], Any]]:
    """Equations as functions of the flat parameters: left minus right side.

    Names, numbers, ``+ - * / **``, brackets and a few functions are understood; nothing else is evaluated.

    Raises
    ------
    ValueError
        If something else is in it; the message says what.

    Examples
    --------
    >>> [f] = parse("2 * a = b[1]", ["a", "b[0]", "b[1]"])
    >>> f([3.0, 0.0, 4.0])
    2.0
    """
    places = {name.replace(" ", ""): i for i, name in enumerate(names)}
    equations = []
    for part in _split(text):
        sides = [_read(side, places, part) for side in part.replace("==", "=").split("=")]
        if len(sides) < 2:
            raise ValueError(f'{part!r} is no equation: write for example "{names[0]} = 0"')
        equations += [_difference(left, right) for left, right in itertools.pairwise(sides)]
    return equations


def _difference(left: Callable[[Any], Any], right: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: left(x) - right(x)


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _read(side: str, places: Mapping[str, int], equation: str) -> Callable[[Any], Any]:
    try:
        tree = ast.parse(side.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"cannot read {side.strip()!r} in the hypothesis {equation!r}") from None
    _check(tree, places, equation)
    return lambda x: _evaluate(tree, places, x)


def _check(node: ast.expr, places: Mapping[str, int], equation: str) -> None:
    """Refuse what `_evaluate` does not know, before anything is evaluated."""
    text = ast.unparse(node)
    if text.replace(" ", "") in places:
        return
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        _check(node.left, places, equation)
        _check(node.right, places, equation)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        _check(node.operand, places, equation)
    elif _is_call(node):
        _check(node.args[0], places, equation)  # type: ignore[attr-defined]
    else:
        raise ValueError(
            f"{text!r} in the hypothesis {equation!r} is no parameter, number, operator or function; the "
            f"parameters are {', '.join(places)}, the functions {', '.join(FUNCTIONS)}"
        )


def _is_call(node: ast.expr) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return False
    return node.func.id in FUNCTIONS and len(node.args) == 1 and not node.keywords


def _evaluate(node: Any, places: Mapping[str, int], x: Any) -> Any:
    place = places.get(ast.unparse(node).replace(" ", ""))
    if place is not None:
        return x[place]
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](_evaluate(node.left, places, x), _evaluate(node.right, places, x))
    if isinstance(node, ast.UnaryOp):
        operand = _evaluate(node.operand, places, x)
        return -operand if isinstance(node.op, ast.USub) else operand
    return FUNCTIONS[node.func.id](_evaluate(node.args[0], places, x))
