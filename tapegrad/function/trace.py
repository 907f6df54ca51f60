"""`trace`: the way in."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from tapegrad.backends.c.compiler import compiler, reason
from tapegrad.backends.jax.backend import why_not
from tapegrad.backends.programs import AUTO, BACKENDS
from tapegrad.errors import UnusedParameterWarning
from tapegrad.function.calling import calling
from tapegrad.function.long import LENGTHS, LongData, columns_of, long_data
from tapegrad.function.router import Router
from tapegrad.function.running import Running
from tapegrad.function.traced import TracedFunction
from tapegrad.nest import argument_name, structure_of
from tapegrad.passes import LOOPS, PASSES, statistics
from tapegrad.tape.tape import Tape


def trace(
    f: Callable[..., Any],
    params: Any,
    *,
    data: Mapping[str, Any] | None = None,
    backend: str = "auto",
    threads: int = 1,
    sufficient_statistics: bool = True,
    reroll: bool = True,
) -> TracedFunction:
    """Record a function once as a tape, to replay its value and derivatives.

    Parameters
    ----------
    f : callable
        A plain NumPy function of the parameters. It is called three times: on tracers, and
        plainly at two places, to compare. Where a branch holds at single points, more often.
    params : float, array_like, or nest of lists, tuples and dicts of them
        Start values. A dict is passed to `f` as keyword arguments, anything else as one argument. All
        numbers are taken as float64.
    data : mapping of str to array_like, optional
        Arrays passed to `f` as further keyword arguments, which `with_data` can replace without a new
        trace. Arrays that `f` finds by itself (closures, globals) are copied when it is traced, unless
        they are read-only.
    backend : {"auto", "numpy", "c", "jax", "replay"}
        What runs the tapes: NumPy code at first, and C code once so much has been computed that compiling
        pays; NumPy code; C code, for which there has to be a compiler; a JAX function, for JAX's devices;
        or the reference loop over the entries.
    threads : int
        Threads that share the blocks of a row loop. More than one pay on long data of which a row costs
        much; the result does not depend on their number.
    sufficient_statistics : bool
        Compute sums over rows that are polynomials in the data, and least squares, on a few rows found once,
        so that a replay's cost does not depend on the number of rows.
    reroll : bool
        Find loops in the record, and run them as array code.

    Returns
    -------
    TracedFunction

    Raises
    ------
    TraceError
        If a step of `f` cannot be recorded, or if `f` takes another branch wherever it is called again;
        the message names the line and what to write instead.
    ReplayError
        If the tape does not reproduce `f`: it draws random numbers, or writes through a view.
    ValueError, TypeError
        If `params` is empty, not finite, or not made of numbers.

    Warns
    -----
    UnusedParameterWarning
        If the result does not depend on a parameter, and no branch was taken on one.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> x = np.array([1.0, 2.0, 4.0])
    >>> traced = tg.trace(lambda rate: (np.log(rate) - rate * x).sum(), dict(rate=1.0))
    >>> traced(dict(rate=0.5))
    -5.579441541679836
    >>> traced.grad(dict(rate=0.5))
    {'rate': -1.0}
    """
    traced = trace_quietly(
        f,
        params,
        data=data,
        backend=backend,
        threads=threads,
        sufficient_statistics=sufficient_statistics,
        reroll=reroll,
    )
    unused = _unused_parameters(traced.short_tape)
    if unused and not traced.tape.guards:
        labels = ", ".join(traced.structure.leaves[i].label for i in unused)
        warnings.warn(
            f"the result of {traced.tape.name} does not depend on {labels}: its gradient there is zero",
            UnusedParameterWarning,
            stacklevel=2,
        )
    return traced


def trace_quietly(
    f: Callable[..., Any],
    params: Any,
    *,
    data: Mapping[str, Any] | None = None,
    backend: str = "auto",
    threads: int = 1,
    sufficient_statistics: bool = True,
    reroll: bool = True,
) -> TracedFunction:
    """Trace a function that need not depend on all of its parameters: `trace`, which says nothing of that."""
    if backend not in (AUTO, *BACKENDS):
        raise ValueError(f"no backend {backend!r}: choose one of {', '.join([AUTO, *BACKENDS])}")
    if backend == "c" and compiler() is None:
        raise ValueError(f"the backend 'c' cannot be used: {reason()}")
    if backend == "jax" and (without_jax := why_not()) is not None:
        raise ValueError(without_jax)
    if not (data is None or isinstance(data, Mapping)):
        raise TypeError(
            f"data is a dict of arrays by name, such as dict(x=table['x']), not a {type(data).__name__}: "
            "only `fit` takes the columns out of a table that the function has arguments for"
        )
    structure, vector = structure_of(params, argument_name(f))
    clashing = sorted(set(data or {}) & set(params)) if isinstance(params, Mapping) else []
    if clashing:
        raise ValueError(f"{', '.join(clashing)} stands in both params and data: give each argument one name")
    without = tuple(p for p in PASSES if p is not statistics)
    passes = PASSES if sufficient_statistics else without
    data = columns_of(data or {})
    long = long_data(data, backend, sufficient_statistics)
    if long is not None:
        running = Running(backend, threads, without, (), long)
        data = long.sample(LENGTHS[0])
    else:
        running = Running(backend, threads, passes, LOOPS if reroll else ())
    try:
        router = Router(f, structure, data, vector, running)
    except Exception as error:
        if long is not None:
            error.add_note(_sampled(long))
        raise
    return TracedFunction(structure, router, calling(f, structure, router.current.tape.name))


def _unused_parameters(tape: Tape) -> list[int]:
    """The parameter leaves that no output depends on differentiably, by their place."""
    needed = set(tape.outputs)
    missing = set(tape.parameters) - needed
    for op, inputs, output, _, _ in tape.entries.rows_back():
        if not missing:
            break
        if output in needed:
            used = [slot for i, slot in enumerate(inputs) if op.differentiable(i)]
            needed.update(used)
            missing.difference_update(used)
    return [i for i, slot in enumerate(tape.parameters) if slot in missing]


def _sampled(long: LongData) -> str:
    """What the function was called with, where the data are in pieces."""
    read = f"the first {LENGTHS[0]:,} of {long.rows.length:,} rows of {', '.join(long.names)}"
    return f"the function was traced on {read}" + (
        f", and all of {', '.join(long.whole)}" if long.whole else ""
    )
