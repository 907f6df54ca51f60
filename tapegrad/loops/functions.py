"""`scan` and `map`: loops that the user states outright."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import index
from typing import Any

import numpy as np

from tapegrad.loops.plain import looped
from tapegrad.loops.step import Loop, apart, as_float, data
from tapegrad.loops.traced import in_trace, over_nothing
from tapegrad.ops.shaping import shape_of
from tapegrad.recording.live import running


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None
) -> tuple[Any, Any]:
    """Run a recursion: what one step hands on, the next one gets.

    In a trace `step` is recorded once, not once for each iteration. Numbers that it hands on linearly (an AR,
    a GARCH) are a linear recurrence. Of anything else, numbers and small arrays, only what must be done step
    by step is. All the rest is array code. If an operation of the step has no form for many steps at once,
    every iteration is recorded, as of a plain Python loop. On plain numbers and arrays it is such a loop.

    Parameters
    ----------
    step : callable
        ``step(carry, x) -> (carry, y)``. What it hands on has the structure and the shapes of `init`. It may
        use values from around it, traced ones as well, but must not change them. It decides by `np.where`,
        not by ``if``.
    init : number, array_like, or nest of dicts, lists and tuples of them
        What the first step gets. Numbers are float64, truth values stay such; None carries nothing.
    xs : array_like, or nest of dicts, lists and tuples of them, optional
        What each step has of its own: an array of the same structure, without the first axis.
    length : int, optional
        The number of steps, where there are no `xs`.

    Returns
    -------
    carry : like init
        What the last step hands on.
    ys : array, nest of arrays, or None
        What the steps give besides, stacked along a new first axis. Whole numbers are float64.

    Raises
    ------
    TraceError
        If a step decides on a traced value, writes to an array from around it, or if a traced value of it is
        used outside; the message names the line.
    ValueError, TypeError
        If `xs` are of unequal length, or `step` returns another structure or shape than that of `init`.

    Examples
    --------
    The variances of a GARCH(1, 1), in a log-likelihood:

    >>> import numpy as np, tapegrad as tg
    >>> e = np.array([0.3, -1.2, 0.8, 0.1, -0.4])
    >>> def loglik(omega, alpha, beta):
    ...     def step(h, e):
    ...         return omega + alpha * e**2 + beta * h, h
    ...     _, h = tg.scan(step, omega / (1 - alpha - beta), e)
    ...     return -0.5 * np.sum(np.log(h) + e**2 / h)
    >>> traced = tg.trace(loglik, dict(omega=0.1, alpha=0.1, beta=0.8))
    >>> round(traced(dict(omega=0.2, alpha=0.1, beta=0.7)), 6)
    -1.106095
    >>> {name: round(d, 4) for name, d in traced.grad(dict(omega=0.2, alpha=0.1, beta=0.7)).items()}
    {'omega': -5.3541, 'alpha': -4.7225, 'beta': -5.2437}

    An AR(1) from shocks, on plain numbers:

    >>> tg.scan(lambda y, shock: (0.5 * y + shock, y), 1.0, np.array([1.0, 0.0, 2.0]))
    (np.float64(2.375), array([1.  , 1.5 , 0.75]))
    """
    return _run("scan", step, step, init, xs, length)


def map(fn: Callable[[Any], Any], xs: Any) -> Any:
    """Apply a function to each row of arrays, and stack what it gives.

    In a trace `fn` is recorded once, and runs on all rows at once, as array code; see `scan`.

    Parameters
    ----------
    fn : callable
        ``fn(x) -> y``, of numbers, arrays, or nests of them; see `step` of `scan`.
    xs : array_like, or nest of dicts, lists and tuples of them
        Arrays of equal length.

    Returns
    -------
    array, or nest of arrays
        The results, stacked along a new first axis.

    Raises
    ------
    TraceError, ValueError, TypeError
        As `scan`.

    Examples
    --------
    Contributions to a log-likelihood, each with the mean of its own group:

    >>> import numpy as np, tapegrad as tg
    >>> y, group = np.array([1.0, 2.0, 4.0]), np.array([0, 1, 1])
    >>> def loglik(mu):
    ...     return tg.map(lambda x: -0.5 * (x["y"] - mu[x["group"]]) ** 2, dict(y=y, group=group)).sum()
    >>> tg.trace(loglik, np.zeros(2)).grad([1.0, 2.0])
    array([0., 2.])
    """
    return _run("map", lambda carry, x: (None, fn(x)), fn, None, xs, None)[1]


def _run(
    name: str,
    step: Callable[[Any, Any], Any],
    blamed: Callable[..., Any],
    init: Any,
    xs: Any,
    length: int | None,
) -> tuple[Any, Any]:
    recorder = running()
    each: dict[str, Any] = {}

    def taken(value: Any, label: str) -> Any:
        if recorder is not None and isinstance(value, np.ndarray) and value.dtype.hasobject:
            return recorder.lift(value, None)  # an array of traced numbers
        return data(value, label)

    def row(value: Any, label: str) -> Any:
        each[label] = array = taken(value, label)
        if not shape_of(array):
            raise ValueError(
                f"{label} is a number: each of xs is an array, with a first axis to go along. A list is a "
                "nest of arrays: write np.array(...) or np.stack(...) of it"
            )
        return np.broadcast_to(0.0, shape_of(array)[1:])  # what one step gets of it, as far as shapes go

    carried, start = apart(init, "init", lambda value, label: as_float(taken(value, label), label))
    one, _ = apart(xs, "xs", row)
    lengths = {label: shape_of(array)[0] for label, array in each.items()}
    count = _count(lengths if length is None else {"length": index(length), **lengths})
    loop = Loop(name, step, blamed, carried, start, one, list(each.values()), count)
    if not count:
        return over_nothing(loop, recorder)
    return looped(loop) if recorder is None else in_trace(loop, recorder)


def _count(lengths: Mapping[str, int]) -> int:
    """The number of steps."""
    if not lengths:
        raise ValueError("how many steps there are is not known: hand over xs, or length")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{label} has {n}" for label, n in lengths.items())
        raise ValueError(f"how many steps there are is not clear, since {told}: xs need one length")
    count = next(iter(lengths.values()))
    if count < 0:
        raise ValueError(f"length must be at least 0, not {count}")
    return count
