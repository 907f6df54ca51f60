"""NumPy functions and ufuncs on traced values: their arguments, and what NumPy does besides computing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.folds import method_of
from tapegrad.ops.logic import where
from tapegrad.ops.registry import BOOL, FLOAT, INT, NUMPY, Op
from tapegrad.ops.shaping import CASTS, reshape_, shape_of
from tapegrad.recording.buffers import Buffer
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.handouts import contents
from tapegrad.recording.lent import buffer_wanted
from tapegrad.recording.messages import no_rule
from tapegrad.recording.sharing import share
from tapegrad.recording.tracer import Trace, is_traced
from tapegrad.recording.writers import WRITERS, write_at

_BITWISE = frozenset((np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert))
_SAYS_NOTHING: dict[str, tuple[Any, ...]] = {
    "dtype": (float, FLOAT, np.float64),
    "casting": ("same_kind",),
    "order": ("K",),
    "subok": (True,),
    "where": (True,),
}
_OF_FUNCTIONS = {name: values for name, values in _SAYS_NOTHING.items() if name != "order"}


# Ufuncs -----------------------------------------------------------------------------------------------------


def call_ufunc(
    recorder: Trace,
    ufunc: np.ufunc,
    method: str,
    inputs: tuple[Any, ...],
    out: Any,
    kwargs: dict[str, Any],
) -> Any:
    """A ufunc, or one of its methods, of operands some of which are traced."""
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    if method == "at":
        target, indices, *values = (_one_array(recorder, x) for x in inputs)
        return write_at(ufunc, name, target, indices, tuple(values))
    if method == "outer":
        first, second = (_one_array(recorder, x) for x in inputs)
        shape = (*shape_of(first), *(1,) * len(shape_of(second)))
        method, inputs = "__call__", (reshape_(first, shape), second)
    call = getattr(ufunc, method)
    rule = NUMPY.get(ufunc) if method == "__call__" else NUMPY.get(call) or method_of(ufunc, method)
    if rule is None and name.endswith(" (vectorized)"):  # made by np.frompyfunc: number by number
        return _lifted(recorder, ufunc(*(contents(x) if is_traced(x) else x for x in inputs)))
    if rule is None:
        raise no_rule(ufunc if method == "__call__" else call, name, whereabouts())
    if ufunc in _BITWISE and any(_dtype_of(x) != BOOL for x in inputs):
        raise TraceError(
            f"{name} of numbers has no rule{whereabouts()}: on booleans it is a logical, on "
            "integers it works on bits; compare first, as in (x > 0) & (y > 0)"
        )
    chosen = kwargs.pop("where", True) if method == "__call__" else True
    if chosen is not True and out is None and bool(np.all(chosen)):
        chosen = True
    if chosen is not True and out is None:
        raise TraceError(
            f"{name}(where=...) leaves the other elements to chance{whereabouts()}: choose with np.where, or "
            "say what they are with out=, as in out=np.zeros_like(v)"
        )
    if method in ("reduce", "accumulate"):
        kwargs.setdefault("axis", 0)  # unlike np.sum and its like
    named = {
        key: value
        for key, value in kwargs.items()
        if (value is not None or key == "axis")
        and value is not np._NoValue
        and not _is_listed(value, _SAYS_NOTHING.get(key, ()))
    }
    _check_taken(name, rule, named)
    operands = [_one_array(recorder, x) for x in inputs]
    result = settled(call, (*operands,), rule(*operands, **named), named)
    if out is not None:
        return _into(out, result, chosen)
    return share(call, inputs, {}, result, lambda: rule(*operands, **named))


def _lifted(recorder: Trace, found: Any) -> Any:
    return (
        tuple(recorder.lift(x, None) for x in found)
        if isinstance(found, tuple)
        else recorder.lift(found, None)
    )


def _dtype_of(x: Any) -> np.dtype[Any]:
    return x.dtype if is_traced(x) else np.asarray(x).dtype


def _into(out: Any, result: Any, chosen: Any = True) -> Any:
    """Write the result into the array that `out=` gives, or the arrays, where it is chosen."""
    targets = out if isinstance(out, tuple) else (out,)
    if len(targets) > 1:
        pairs = zip(targets, result, strict=True)
        return tuple(x if target is None else _into(target, x, chosen) for target, x in pairs)
    (target,) = targets
    if chosen is not True:
        result = where(chosen, result, target)
    if isinstance(target, Buffer):
        target.become_traced(result.recorder).receive(result)
        return target
    if is_traced(target):
        return target.receive(result)
    if not (isinstance(target, np.ndarray) and target.dtype == object):
        raise buffer_wanted(target)
    for index in np.ndindex(target.shape):
        target[index] = NUMPY[np.broadcast_to](result, target.shape)[index]
    return target


# Functions --------------------------------------------------------------------------------------------------


def call_function(recorder: Trace, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """A NumPy function of operands some of which are traced."""
    if func in _MAKERS:
        return _make(recorder, func, args, kwargs)
    if func in _FINDERS and len(args) == 1:
        return func(recorder.decide(recorder.lift(args[0], BOOL)))
    if func in WRITERS:
        return WRITERS[func](*_with_arrays(recorder, func, args, kwargs)[0], **kwargs)
    rule = NUMPY.get(func)
    name = name_of(func)
    if rule is None:
        raise no_rule(func, name, whereabouts())
    args, kwargs = _with_arrays(recorder, func, args, kwargs)
    positional, named = _bound(func, args, kwargs)
    out = named.pop("out", None)
    if named.get("dtype") in (int, INT, np.int64) and not _holds_floats((args, kwargs)):
        del named["dtype"]  # `settled` gives counts as NumPy does
    _check_taken(name, rule, named)
    result = settled(func, args, rule(*positional, **named), kwargs)
    if out is not None:
        return _into(out, result)
    return share(func, args, kwargs, result, lambda: rule(*positional, **named))


# Functions of a sequence of arrays, and how many such sequences they take.
_OF_SEQUENCES: dict[Any, int] = {
    **dict.fromkeys((np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack), 1),
    **{np.linalg.multi_dot: 1, np.select: 2},
}
_OF_NESTS = frozenset((np.block, np.piecewise, np.choose))  # lists that stand for more than one array


def _with_arrays(
    recorder: Trace, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The arguments, with arrays for lists that hold traced values, and for object arrays."""
    if func in _OF_NESTS:
        return args, kwargs
    first = args[: _OF_SEQUENCES.get(func, 0)]
    if any(isinstance(x, (list, tuple)) and any(map(_may_hold, x)) for x in first):
        first = tuple([[_one_array(recorder, x) for x in xs] for xs in first])
    rest = args[len(first) :]
    if any(map(_may_hold, rest)):
        rest = tuple([_one_array(recorder, x) for x in rest])
    named = {key: _one_array(recorder, x) for key, x in kwargs.items()} if kwargs else kwargs
    return first + rest, named


def _may_hold(x: Any) -> bool:
    kind = type(x)
    return kind is list or kind is tuple or (kind is np.ndarray and x.dtype.hasobject)


def _one_array(recorder: Trace, x: Any) -> Any:
    is_object_array = isinstance(x, np.ndarray) and x.dtype == object
    return recorder.lift(x, None) if is_object_array or holds_traced(x) else x


def holds_traced(x: Any) -> bool:
    """Whether this is a list, or a nest of lists, with traced floats in it."""
    return isinstance(x, (list, tuple)) and any(
        x.dtype == FLOAT if is_traced(x) else holds_traced(x) for x in x
    )


def array_of(nest: Any) -> Any:
    """One array of a nest of lists."""
    return NUMPY[np.stack]([array_of(x) if isinstance(x, (list, tuple)) else x for x in nest])


def name_of(func: Callable[..., Any]) -> str:
    """How a NumPy function is called in the user's code."""
    module = str(getattr(func, "__module__", "numpy") or "numpy")
    return f"{module.replace('numpy', 'np', 1)}.{getattr(func, '__name__', func)}"


@cache
def _signature(func: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(func)
    except ValueError:  # some of NumPy's C functions, before 2.4
        return None


@cache
def _required(func: Callable[..., Any]) -> int:
    """How many arguments a function takes by their places alone, as far as known."""
    signature = _signature(func)
    if signature is None:
        return 0
    return sum(
        p.kind is p.POSITIONAL_ONLY or (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty)
        for p in signature.parameters.values()
    )


def _bound(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that say something: the first by their places, the rest by NumPy's own names.

    Rules state only the arguments they take, so their places may differ from NumPy's.
    """
    signature = _signature(func)
    if not kwargs and len(args) <= _required(func):
        return list(args), {}
    if signature is None:
        return list(args), {key: value for key, value in kwargs.items() if value is not None or key == "axis"}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            named.update(value)
        elif parameter.default is parameter.empty or parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(value)
        elif not _is_listed(value, (parameter.default, np._NoValue, *_OF_FUNCTIONS.get(name, ()))):
            named[name] = value
    return positional, named


def _is_listed(value: Any, values: tuple[Any, ...]) -> bool:
    # What stands in for a function or a type is equal to it.
    return any(value is other or (callable(value) and value == other) for other in values)


def _check_taken(name: str, rule: Callable[..., Any], named: dict[str, Any]) -> None:
    signature = None if isinstance(rule, Op) else _signature(rule)
    if named:
        _refuse(name, [key for key in named if signature is None or key not in signature.parameters])


def _refuse(name: str, keys: list[str]) -> None:
    if keys:
        where = "; choose with np.where first" if "where" in keys else ""
        raise TraceError(
            f"{name}({', '.join(f'{key}=...' for key in keys)}) cannot be traced{whereabouts()}: "
            f"leave {' and '.join(keys)} out{where}"
        )


# Whole numbers ----------------------------------------------------------------------------------------------


def settled(func: Callable[..., Any], args: Any, result: Any, kwargs: dict[str, Any] | None = None) -> Any:
    """The result in the dtype that NumPy gives.

    A tape computes in float64. Where no operand is a float, NumPy's own result tells whether this one is a
    count, a truth value or a float: ``True + True`` is True, and what indexes an array must be an integer.
    """
    for x in args:
        if is_traced(x) and x.dtype == FLOAT:
            return result
    everything = args, kwargs or {}
    if _holds_floats(everything) or not any(map(is_traced, _flat(everything))):
        return result
    return _like(func(*plain_of(args), **plain_of(kwargs or {})), result)


def _holds_floats(args: Any) -> bool:
    return any(is_traced(x) and x.dtype == FLOAT for x in _flat(args))


def _like(plain: Any, result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        parts = [_like(p, r) for p, r in zip(plain, result, strict=True)]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    if not is_traced(result):
        return result
    dtype = np.asarray(plain).dtype
    if dtype.kind == "f" and dtype != FLOAT:
        raise TraceError(f"NumPy computes this in {dtype}{whereabouts()}: write .astype(float) first")
    kind = {"b": BOOL, "i": INT, "u": INT}.get(dtype.kind, FLOAT)
    return result if result.dtype == kind else CASTS[kind](result)


def _flat(args: Any) -> Iterator[Any]:
    for arg in args.values() if isinstance(args, dict) else args:
        if isinstance(arg, (list, tuple, dict)):
            yield from _flat(arg)
        else:
            yield arg


def plain_of(arg: Any) -> Any:
    """Arguments with values in the places of traced ones."""
    if isinstance(arg, dict):
        return {key: plain_of(value) for key, value in arg.items()}
    if isinstance(arg, (list, tuple)):
        return type(arg)(map(plain_of, arg))
    if is_traced(arg):
        return np.asarray(arg.plain())[()]
    return arg


# Makers -----------------------------------------------------------------------------------------------------

_FINDERS = frozenset((np.nonzero, np.flatnonzero, np.argwhere, np.where))
_LIKE_ANOTHER: tuple[Any, ...] = (np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.copy)
_WITH_LIKE: tuple[Any, ...] = (
    *(np.zeros, np.ones, np.empty, np.full, np.array, np.asarray),
    *(np.eye, np.identity, np.arange, np.tri),
)
_MAKERS = frozenset((*_LIKE_ANOTHER, *_WITH_LIKE))
_OF_ARRAYS = (np.copy, np.array, np.asarray)
_COPY = np.copy
_FILLED: dict[Any, Any] = {np.empty: np.zeros, np.empty_like: np.zeros_like}


def _make(recorder: Trace, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An array that the trace owns, so that it can be written to: `np.zeros_like`, `like=` and so on."""
    if func in _OF_ARRAYS:
        _refuse(name_of(func), [key for key in kwargs if key not in ("dtype", "copy", "order")])
        made = recorder.lift(args[0], None)
        dtype = args[1] if func != _COPY and len(args) > 1 else kwargs.get("dtype")
        if dtype is not None:
            made = made.astype(dtype, copy=False)
        is_shared = made is args[0] and made.shape and _gives_itself(func, made.plain(), args[1:], kwargs)
        return made if is_shared else made.copy(kwargs.get("order", "K"))
    signature = _signature(func)
    fill = signature.bind(*args, **kwargs).arguments.get("fill_value") if signature else None
    if is_traced(fill):
        blank = func(*plain_of(args), **plain_of(kwargs))
        return NUMPY[np.broadcast_to](fill, blank.shape).astype(blank.dtype)
    maker: Any = _FILLED.get(func, func)
    # A fresh tracer: the constant may be shared, what is written in place must not be.
    return recorder.lift(maker(*plain_of(args), **kwargs), None).copy("K")


def _gives_itself(func: Callable[..., Any], value: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether NumPy gives a view of an array, or the array itself, where this one makes an array of it."""
    return np.shares_memory(func(value, *args, **kwargs), value)
