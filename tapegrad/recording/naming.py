"""What the user calls an array: the variable that holds it, or the expression that gives it."""

from __future__ import annotations

import ast
import sys
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tapegrad.recording.frames import parsed, spot_of, user_frame

# Objects whose columns, slices and values may be taken once more, to see which of them an array is.
_HOLDERS = ("numpy", "pandas", "polars", "pyarrow", "xarray")
_METHODS = frozenset(("to_numpy",))
_ATTRIBUTES = frozenset(("values", "T"))
_LONGEST = 40


def name_of(value: Any, array: np.ndarray[Any, Any]) -> str | None:
    """The user's variable that holds a value, or an expression such as ``f["age"]`` that gives it.

    The expression is found in the line that runs: a column, a slice or the values of a variable of the user's
    that holds data. It counts if it gives the same numbers.

    Parameters
    ----------
    value : Any
        What the user's code brings.
    array : ndarray
        The same as an array.
    """
    frame = user_frame(sys._getframe(1))
    if frame is None:
        return None
    for scope in (frame.f_locals, frame.f_globals):
        for name, held in scope.items():
            if held is value and not name.startswith("_"):
                return name
    for text, node in _candidates(frame.f_code, frame.f_lasti):
        if _same(_evaluated(node, frame), array):
            return text
    return None


@lru_cache(maxsize=512)
def _candidates(code: CodeType, at: int) -> tuple[tuple[str, ast.expr], ...]:
    """The expressions in the piece of a line that runs which may give an array of data, with their texts."""
    text = spot_of(code, at, None).expression
    tree = parsed(text) if text else None
    if tree is None or "\n" in text:
        return ()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute | ast.Call) and _is_plain(node):
            # `parsed` has put a bracket before the text.
            first, last = node.col_offset - 1, (node.end_col_offset or 0) - 1
            shown = text.encode()[first:last].decode(errors="replace")
            if len(shown) <= _LONGEST and shown.isprintable():
                found.append((shown, node))
    return tuple(found)


def _is_plain(node: ast.expr) -> bool:
    """Whether it looks at nothing but data: variables, constant keys and slices, columns, `.to_numpy()`."""
    if isinstance(node, ast.Name):
        return True
    if isinstance(node, ast.Subscript):
        return _is_plain(node.value) and _is_key(node.slice)
    if isinstance(node, ast.Attribute):
        return not node.attr.startswith("_") and _is_plain(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _METHODS and not (node.args or node.keywords) and _is_plain(node.func.value)
    return False


def _is_key(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_is_key, node.elts))
    if isinstance(node, ast.Slice):
        return all(part is None or _is_key(part) for part in (node.lower, node.upper, node.step))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
    return isinstance(node, ast.Constant)


def _evaluated(node: ast.expr, frame: FrameType) -> Any:
    """What such an expression gives; None where it is not of data."""
    try:
        return _taken(node, frame)
    except Exception:  # whatever the data raise: then it is not this expression
        return None


def _taken(node: ast.expr, frame: FrameType) -> Any:
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    owner = node.func.value if isinstance(node, ast.Call) else node.value  # type: ignore[attr-defined]
    held = _taken(owner, frame)
    if type(held).__module__.partition(".")[0] not in _HOLDERS:
        return None
    if isinstance(node, ast.Subscript):
        return held[_key(node.slice)]
    if isinstance(node, ast.Attribute):
        known = node.attr in _ATTRIBUTES or node.attr in getattr(held, "columns", ())
        return getattr(held, node.attr) if known else None
    return getattr(held, node.func.attr)()  # type: ignore[attr-defined]


def _key(node: ast.expr) -> Any:
    if isinstance(node, ast.Tuple):
        return tuple(map(_key, node.elts))
    if isinstance(node, ast.List):
        return [_key(one) for one in node.elts]
    if isinstance(node, ast.Slice):
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if part is None else _key(part) for part in parts))
    return ast.literal_eval(node)


def _same(value: Any, array: np.ndarray[Any, Any]) -> bool:
    if value is None:
        return False
    found = np.asarray(value)
    if found.shape != array.shape or found.dtype.kind not in "fiub":
        return False
    return bool(np.array_equal(found, array, equal_nan=found.dtype.kind == "f" and array.dtype.kind == "f"))
