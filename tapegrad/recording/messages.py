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
from tapegrad.ops.registry import Recordable
from tapegrad.recording.decisions import reasons
from tapegrad.recording.frames import (
    Spot,
    inside_of_error,
    is_users,
    library_of,
    parsed,
    spot_at,
    user_frame,
    whereabouts,
)

_KEEP_TRACED = (
    "keep it traced: np.log(v) instead of math.log(v), v instead of float(v); collect values in a list and "
    "np.stack them, or make a buffer of them with np.zeros_like(theta) or np.zeros(n, like=theta)"
)
_BUFFER = (
    "a plain buffer cannot hold traced values unless the function makes it itself, of floats, by np.zeros, "
    "np.copy and the like; write np.copy(x) for x.copy(), and np.zeros(n) for np.zeros(n, dtype=int)"
)
_LIBRARIES = {
    "scipy.stats": "scipy.stats takes plain numbers only; use tapegrad.stats, or write the density in NumPy",
    "scipy.special": "this scipy.special function takes plain numbers only; tapegrad.special has logsumexp, "
    "softmax, polygamma and others under the same names",
    "scipy.linalg": "scipy.linalg takes plain numbers only; np.linalg has solve, inv, det, cholesky and eigh",
    "numpy.random": "draw random numbers outside the function, once, and pass them in as data",
    "pandas": "a pandas object cannot hold traced values; take its values out first, with .to_numpy(), and "
    "write y = y * a for y *= a",
}
_NO_KEY = (
    "a traced value cannot be a key, nor an argument under functools.cache; keep by its key only what "
    "depends on data alone"
)
_WITHOUT_RULE = "tapegrad has no rule for it; write it with functions that have one"
_NO_RULE = {np.copyto: "write x[...] = v; an array filled with a traced v is np.full(shape, v, like=v)"}

# What NumPy says of arrays of Python objects, which np.array([a, b]) makes of traced values.
_OF_OBJECT_ARRAYS = (
    "which has no callable",
    "dtype('O')",
    "not supported for the input types",
    "ObjectDType",
    "array type object is unsupported",
)
_MAKE_AN_ARRAY = (
    "NumPy makes an object array of a list of traced values, and does not ask tapegrad; build the array with "
    "np.stack([...]) or np.array([...], like=theta) from an array theta, a matrix with "
    "np.block([[a, 0.5], [0.5, b]]), a diagonal one with np.diag(np.stack([a, b]))"
)
# What compiled code says of anything that is no array in memory.
_OF_COMPILED_CODE = (
    "a bytes-like object is required",
    "No matching signature found",
    "incompatible function arguments",
    "has incorrect type",
    "Unable to parse arguments",
)
_NOT_COMPILED = "this is compiled code, which takes plain numbers only; write this step in NumPy"
_DOTTED = re.compile(r"[A-Za-z_][\w.]*")
_WRITES = re.compile(r"\bout\s*=|\.at\(")
_CALLS = re.compile(r"([A-Za-z_][\w.]*)\s*\(")


def plain_value_wanted() -> TraceError:
    """The error for code that asks a traced value for a plain number."""
    frame = user_frame(sys._getframe(1))
    spot = None if frame is None else spot_at(frame)
    advice = _by_library() or (spot and frame and _by_spot(spot, frame)) or _KEEP_TRACED
    return TraceError(f"a traced value was asked for as a plain number{whereabouts()}: {advice}")


def sparse_operand(operand: Any) -> str:
    """What is said of a sparse matrix where an array is wanted."""
    return (
        f"a {type(operand).__name__} cannot stand where an array is wanted{whereabouts()}: with traced "
        "values sparse matrices take part in `A @ x`, `x @ A`, `c * A` and `A + B`; write these instead of "
        "NumPy's functions, or A.toarray() where the matrix is small"
    )


def no_rule(func: Callable[..., Any], name: str, where: str) -> TraceError:
    """The error for a function that cannot be recorded."""
    advice = _NO_RULE.get(func) or reasons().get(func) or _WITHOUT_RULE
    return TraceError(f"{name} cannot be traced{where}: {advice}")


def foreign_step(error: Exception, place: str, library: str | None) -> TraceError:
    """The error for a step of the user's that fails on traced values but not on plain ones."""
    text = str(error)
    if isinstance(error, NotImplementedError):
        return TraceError(f"this cannot be traced{place}{inside_of_error(error)}: {text}")
    advice = _LIBRARIES.get(library or "") or _no_attribute(error)
    if advice is None and library is not None and library.startswith("scipy"):
        advice = f"{library} takes plain numbers only"
    if advice is None and "unhashable type" in text:
        advice = _NO_KEY
    if advice is None and any(sign in text for sign in _OF_OBJECT_ARRAYS):
        advice = _MAKE_AN_ARRAY
    if advice is None and any(sign in text for sign in _OF_COMPILED_CODE):
        advice = _NOT_COMPILED
    if advice is None:
        advice = "use Python operators, NumPy functions and scipy.special ufuncs"
    where = place + inside_of_error(error)
    return TraceError(
        f"{type(error).__name__}{where}: {text}. The function runs on plain numbers, but this "
        f"step does not take traced ones: {advice}"
    )


def _no_attribute(error: Exception) -> str | None:
    """What to write for an attribute that traced values do not have."""
    if not isinstance(error, AttributeError) or not isinstance(error.obj, Recordable):
        return None
    if error.name in ("tobytes", "data", "dumps"):
        return _NO_KEY
    name, frame = str(error.name), getattr(sys.modules.get("pandas"), "DataFrame", None)
    if hasattr(frame, name) and not hasattr(np.ndarray, name):
        return (
            "a pandas object becomes an array where it meets a traced value, without index or columns; use "
            "NumPy functions (sums by group are np.bincount(codes, weights=v)), or do this before"
        )
    return "use NumPy functions and slices"


# By what is being called ------------------------------------------------------------------------------------


def _by_library() -> str | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_users(frame):
        library = library_of(frame.f_code)
        if library in _LIBRARIES:
            return _LIBRARIES[library]
        if library is not None and library.startswith("scipy."):
            return f"{library} takes plain numbers only"
        frame = frame.f_back
    return None


def _by_spot(spot: Spot, frame: FrameType) -> str | None:
    """The spelling that works, by what the user's code is doing."""
    called = list(_called(spot, frame))
    for name, function in called:
        if getattr(function, "__module__", None) == "math":
            return _instead_of_math(name, function)
        if function in (float, complex):
            return f"write the value itself instead of {name}(...)"
        if _draws(function):
            return _LIBRARIES["numpy.random"]
    text = spot.expression or spot.text
    if re.search(r"\.(item|tolist)\(", text):
        return "write the value itself instead of .item() or .tolist()"
    if spot.stores_element or _assigns_to_element(text) or _WRITES.search(text):
        return _BUFFER
    for name, function in called:
        if function in (np.array, np.asarray, np.fromiter):
            if not _is_call_of(name, spot):
                return _MAKE_AN_ARRAY
            return (
                "leave out the dtype, or write np.array([...], like=theta) or np.stack([...]); np.block "
                "takes nested lists"
            )
        if function is np.arange:
            return "write np.arange(int(n))"
        module = str(getattr(function, "__module__", ""))
        if module.startswith("numpy.random"):
            return _LIBRARIES["numpy.random"]
        if module.startswith("numpy"):
            return (
                f"give {name} one traced array, made with np.stack([...]), instead of a list of values; "
                "np.block takes nested lists"
            )
    return None


def _called(spot: Spot, frame: FrameType) -> Iterator[tuple[str, Any]]:
    """The functions that are called by a name that can be looked up, with those names.

    Where a call is being made, it is the one; otherwise all that the text shows.
    """
    call = parsed(spot.expression) if spot.instruction.startswith("CALL") else None
    name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
    names = [name] if _DOTTED.fullmatch(name) else _CALLS.findall(spot.expression or spot.text)
    for name in names:
        found = looked_up(name, frame)
        if callable(found):
            yield name, found


def _is_call_of(name: str, spot: Spot) -> bool:
    call = parsed(spot.expression)
    return isinstance(call, ast.Call) and ast.unparse(call.func) == name


def looked_up(name: str, frame: FrameType) -> Any:
    """What a dotted name stands for in a frame, or None."""
    head, *rest = name.split(".")
    scopes = (frame.f_locals, frame.f_globals, frame.f_builtins)
    found = next((scope[head] for scope in scopes if head in scope), None)
    for part in rest:
        found = _attribute(found, part)
    return found


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
