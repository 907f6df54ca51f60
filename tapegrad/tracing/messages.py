"""What to write instead: the errors for steps that would leave the tape."""

from __future__ import annotations

import ast
import math
import re
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np
from scipy import special

from tapegrad.errors import TraceError
from tapegrad.tape import Source
from tapegrad.tracing.frames import is_user_code, library_of, location, user_frame

_KEEP_TRACED = (
    "keep it traced: np.log(v) instead of math.log(v), v instead of float(v); collect values in a list and "
    "np.stack them, or make a buffer of them with np.zeros_like(theta) or np.zeros(n, like=theta)"
)
_BUFFER = (
    "a plain buffer cannot hold traced values; collect them in a list and np.stack them, or make the buffer "
    "with np.zeros_like(theta) or np.zeros(n, like=theta) from an array theta"
)
_LIBRARIES = {
    "scipy.stats": "scipy.stats takes plain numbers only; use tapegrad.stats, or write the density in NumPy",
    "scipy.special": "this scipy.special function takes plain numbers only; tapegrad.special has logsumexp, "
    "softmax, polygamma and others under the same names",
    "numpy.random": "draw random numbers outside the function, once, and pass them in as data",
    "pandas": "take the values out of the pandas object first, with .to_numpy()",
}
_NO_RULE: dict[Any, str] = {
    np.copyto: "write x[...] = v; an array filled with a traced v is np.full(shape, v, like=v)",
    np.put: "write x[index] = v",
    np.place: "write np.where(mask, v, x)",
    np.putmask: "write np.where(mask, v, x)",
    np.piecewise: "write np.where or np.select",
    np.apply_along_axis: "loop over the rows and put the results together with np.stack",
    np.unique: "find the distinct values of plain data outside the function",
    np.add.at: "write np.bincount(index, weights=v) for the sums by index",
}

# What NumPy says of arrays of Python objects, which np.array([a, b]) makes of traced values.
_OF_OBJECT_ARRAYS = ("which has no callable", "dtype('O')", "not supported for the input types")


def plain_value_wanted(source: Source | None) -> TraceError:
    """The error for code that asks a traced value for a plain number."""
    advice = _by_library() or _by_line(source) or _KEEP_TRACED
    return TraceError(f"a traced value was asked for as a plain number{location(source)}: {advice}")


def no_rule(func: Callable[..., Any], name: str, where: str) -> TraceError:
    """The error for a function that cannot be recorded."""
    advice = _NO_RULE.get(func, "tapegrad has no rule for it; write it with functions that have one")
    return TraceError(f"{name} cannot be traced{where}: {advice}")


def foreign_step(error: Exception, source: Source | None, library: str | None) -> TraceError:
    """The error for a step of the user's that fails on traced values but not on plain ones."""
    text = str(error)
    if isinstance(error, NotImplementedError):
        return TraceError(f"this cannot be traced{location(source)}: {text}")
    advice = _LIBRARIES.get(library or "")
    if advice is None and library is not None and library.startswith("scipy"):
        advice = f"{library} takes plain numbers only"
    if advice is None and any(sign in text for sign in _OF_OBJECT_ARRAYS):
        advice = "build the array with np.stack([...]) or np.array([...], like=theta), not np.array([...])"
    if advice is None:
        advice = "use Python operators, NumPy functions and scipy.special ufuncs"
    return TraceError(
        f"{type(error).__name__}{location(source)}: {text}. The function runs on plain numbers, but this "
        f"step does not take traced ones: {advice}"
    )


# By what is being called ------------------------------------------------------------------------------------


def _by_library() -> str | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_user_code(frame.f_code):
        library = library_of(frame.f_code)
        if library in _LIBRARIES:
            return _LIBRARIES[library]
        if library is not None and library.startswith("scipy."):
            return f"{library} takes plain numbers only"
        frame = frame.f_back
    return None


def _by_line(source: Source | None) -> str | None:
    """The spelling that works, by what the user's line shows."""
    if source is None:
        return None
    called = list(_called(source.text, user_frame(sys._getframe(1))))
    for name, function in called:
        if getattr(function, "__module__", None) == "math":
            return _instead_of_math(name, function)
        if function in (float, complex):
            return f"write the value itself instead of {name}(...)"
        if _draws(function):
            return _LIBRARIES["numpy.random"]
    if re.search(r"\.(item|tolist)\(", source.text):
        return "write the value itself instead of .item() or .tolist()"
    if _assigns_to_element(source.text) or re.search(r"\bout\s*=", source.text):
        return _BUFFER
    for name, function in called:
        if function in (np.array, np.asarray, np.fromiter):
            return "leave out the dtype, or write np.array([...], like=theta) or np.stack([...])"
        if function is np.arange:
            return "write np.arange(int(n))"
        if str(getattr(function, "__module__", "")).startswith("numpy"):
            return f"give {name} one traced array, made with np.stack([...]), instead of a list of values"
    return None


def _called(text: str, frame: FrameType | None) -> Iterator[tuple[str, Any]]:
    """The functions that a line calls by a name that can be looked up, with those names."""
    if frame is None:
        return
    for name in re.findall(r"([A-Za-z_][\w.]*)\s*\(", text):
        head, *rest = name.split(".")
        scopes = (frame.f_locals, frame.f_globals, frame.f_builtins)
        found = next((scope[head] for scope in scopes if head in scope), None)
        for part in rest:
            found = _attribute(found, part)
        if callable(found):
            yield name, found


def _attribute(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except Exception:  # a property of the user's; a message must not fail because of it
        return None


def _instead_of_math(name: str, function: Callable[..., Any]) -> str:
    bare = function.__name__
    if bare == "lgamma":
        return f"write scipy.special.gammaln instead of {name}"
    if bare in ("gamma", "erf", "erfc") and hasattr(special, bare):
        return f"write scipy.special.{bare} instead of {name}"
    if bare == "fsum":
        return f"write np.sum instead of {name}"
    if hasattr(np, bare) and hasattr(math, bare):
        return f"write np.{bare} instead of {name}"
    return f"{name} takes plain numbers only; use a NumPy or scipy.special function"


def _draws(function: Any) -> bool:
    owner = getattr(function, "__self__", None)
    return isinstance(owner, (np.random.Generator, np.random.RandomState))


def _assigns_to_element(text: str) -> bool:
    try:
        statement = ast.parse(text).body[0]
    except (SyntaxError, IndexError):
        return False
    if isinstance(statement, ast.AugAssign):
        return True
    return isinstance(statement, ast.Assign) and any(isinstance(t, ast.Subscript) for t in statement.targets)
