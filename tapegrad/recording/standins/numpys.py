"""NumPy: what makes arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.registry import FLOAT, NUMPY
from tapegrad.recording import dispatch
from tapegrad.recording.buffers import Buffer, as_buffer, rebuffered, trace_in, unbuffered
from tapegrad.recording.standins.mechanism import HOLDERS, StandIn
from tapegrad.recording.tracer import Tracer, is_traced

# What other modules call while these are replaced.
_ARRAY, _BROADCAST = np.array, NUMPY[np.broadcast_to]
_ATLEAST_1D = np.atleast_1d
_COPIES = (True, np._CopyMode.ALWAYS)
_ORDERS = {np.ascontiguousarray: "C", np.asfortranarray: "F"}


# Arrays of traced values ------------------------------------------------------------------------------------


def _as_array(original: Callable[..., Any], a: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    """`np.asarray` and its kin, of a traced array, or of a list that holds traced numbers."""
    if args or "like" in kwargs or dtype is object or not is_traced(made := traced_array(a)):
        return NotImplemented
    if dtype is not None:
        made = made.astype(dtype, copy=False)
    missing = kwargs.get("ndmin", 0) - made.ndim
    if missing > 0:
        made = made[(None,) * missing]
    if made.shape and original in _ORDERS and not made.plain().flags[f"{_ORDERS[original]}_CONTIGUOUS"]:
        return made.copy(_ORDERS[original])
    copies = original is _ARRAY and kwargs.get("copy", True) in _COPIES
    return made.copy(kwargs.get("order") or "K") if copies or not (made.shape or made is not a) else made


def traced_array(a: Any) -> Any:
    """One traced array of what holds traced floats; anything else as it is."""
    a = unbuffered(a)
    if isinstance(a, np.ndarray) and a.dtype.hasobject:
        trace = trace_in(a)
        return a if trace is None else trace.lift(a, None)
    return dispatch.array_of(a) if dispatch.holds_traced(a) else a


def _of_lists(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A function of arrays that NumPy hands to tapegrad where it gets a traced array, and not for a list."""
    arrays = [traced_array(arg) if isinstance(arg, (list, np.ndarray)) else arg for arg in args]
    return original(*arrays, **kwargs)


def _full(original: Callable[..., Any], shape: Any, fill_value: Any, *args: Any, **kwargs: Any) -> Any:
    """`np.full` and `np.full_like` with a traced number."""
    fill = traced_array(fill_value)
    if not isinstance(fill, Tracer) or isinstance(shape, Tracer) or kwargs.get("like") is not None:
        return NotImplemented
    blank = original(shape, 0.0, *args, **kwargs)
    return _BROADCAST(fill, blank.shape).astype(blank.dtype).copy()


def _required(
    original: Callable[..., Any], a: Any, dtype: Any = None, requirements: Any = None, **kwargs: Any
) -> Any:
    """`np.require`: the order in memory is all that a traced array can be asked for."""
    if kwargs.get("like") is not None or not is_traced(made := traced_array(a)):
        return NotImplemented
    wanted = {str(name)[0].upper() for name in requirements or ()}
    made = made if dtype is None else made.astype(dtype, copy=False)
    order = "F" if "F" in wanted else "C" if "C" in wanted else None
    is_laid_out = order is None or not made.shape or made.plain().flags[f"{order}_CONTIGUOUS"]
    return made if is_laid_out and "O" not in wanted else made.copy(order or "K")


def _joined(original: Callable[..., Any], joiner: Any, key: Any) -> Any:
    """`np.r_` and `np.c_` of numbers and arrays."""
    items = key if isinstance(key, tuple) else (key,)
    if any(isinstance(item, (str, slice)) for item in items):
        return NotImplemented
    arrays = [traced_array(item) for item in items]
    if joiner is np.c_:
        return NUMPY[np.column_stack](arrays)
    return NUMPY[np.concatenate]([NUMPY[_ATLEAST_1D](array) for array in arrays])


# Plain arrays -----------------------------------------------------------------------------------------------


def _kept(result: Any, *args: Any, **kwargs: Any) -> Any:
    return as_buffer(result)


def _blank(result: Any, *args: Any, **kwargs: Any) -> Any:
    """Of no contents: with zeros, so that two calls make the same tape."""
    if type(result) is np.ndarray and result.dtype == FLOAT:
        result.fill(0.0)
    return as_buffer(result)


def _of_list(result: Any, a: Any = None, *args: Any, **kwargs: Any) -> Any:
    """`np.asarray`: of a list it makes an array, anything else it may give as it is."""
    if type(a) is Buffer:
        return a if result.dtype == FLOAT and result.shape == a.shape else rebuffered(result)
    return as_buffer(result) if isinstance(a, (list, tuple)) else result


def _of_anything(result: Any, a: Any = None, *args: Any, copy: Any = True, **kwargs: Any) -> Any:
    return as_buffer(result) if copy in _COPIES else _of_list(result, a)


_ROWS = [
    StandIn("numpy.lib._index_tricks_impl:AxisConcatenator", "__getitem__", _joined),
    StandIn("numpy", "array", _as_array, _of_anything),
    *[
        StandIn("numpy", name, _as_array, _of_list)
        for name in ("asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "asarray_chkfinite")
    ],
    StandIn("numpy", "require", _required, _of_list),
    *[StandIn("numpy", name, _full, _kept) for name in ("full", "full_like")],
    *[StandIn("numpy", name, None, _blank) for name in ("empty", "empty_like")],
    *[
        StandIn("numpy", name, None, _kept)
        for name in ("zeros", "ones", "zeros_like", "ones_like", "copy", "eye", "identity", "arange", "tri")
    ],
    *[StandIn("numpy", name, _of_lists, _kept) for name in ("diag", "repeat", "tile", "linspace", "outer")],
    *[
        StandIn("numpy", name, _of_lists)
        for name in (
            *("atleast_1d", "atleast_2d", "cumprod", "cumsum", "dot", "inner", "kron", "max", "mean"),
            *("median", "min", "prod", "ravel", "reshape", "sort", "std", "sum", "transpose", "var"),
        )
    ],
    *[
        StandIn("numpy.linalg", name, _of_lists)
        for name in ("cholesky", "det", "eigh", "eigvalsh", "inv", "norm", "slogdet", "solve")
    ],
]
TABLE = [row._replace(silent_for=HOLDERS) for row in _ROWS]
