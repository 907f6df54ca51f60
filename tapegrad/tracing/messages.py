"""What to write instead: the errors for steps that would leave the tape."""

from __future__ import annotations

import ast
import re

import numpy as np

from tapegrad.errors import TraceError

_ADVICE = (
    "keep it traced: np.log(v) instead of math.log(v), v instead of float(v); make arrays that hold traced "
    "values with np.zeros_like(theta), np.zeros(n, like=theta) or np.stack"
)


def plain_value_wanted(where: str) -> TraceError:
    """The error for code that asks a traced value for a plain number."""
    return TraceError(f"a traced value was asked for as a plain number{where}: {_advice(where)}")


def _advice(where: str) -> str:
    """The spelling that works, by what the user's line shows."""
    text = where.rpartition(": `")[2].rstrip("`")
    math_call = re.search(r"\bmath\.(\w+)\(", text)
    if math_call and hasattr(np, math_call[1]):
        return f"write np.{math_call[1]} instead of math.{math_call[1]}"
    if math_call:
        return f"math.{math_call[1]} takes plain numbers only; use a NumPy or scipy.special function"
    if re.search(r"\bfloat\(", text):
        return "write the value itself instead of float(...)"
    if re.search(r"\.(item|tolist)\(", text):
        return "write the value itself instead of .item() or .tolist()"
    if _assigns_to_element(text):
        return (
            "a plain buffer cannot hold traced values; make it with np.zeros_like(theta) or "
            "np.zeros(n, like=theta), or build the array with np.stack"
        )
    return _ADVICE


def _assigns_to_element(text: str) -> bool:
    try:
        statement = ast.parse(text).body[0]
    except (SyntaxError, IndexError):
        return False
    if isinstance(statement, ast.AugAssign):
        return True
    return isinstance(statement, ast.Assign) and any(isinstance(t, ast.Subscript) for t in statement.targets)
