"""The methods of ufuncs of two operands where no op stands for them: step after step, or by halves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tapegrad.ops.broadcasting import Axis, axes_of, broadcast_to
from tapegrad.ops.elementwise import positive
from tapegrad.ops.indexing import ARRAY, concatenate, getitem, join, scatter
from tapegrad.ops.logic import where as where_
from tapegrad.ops.registry import NUMPY, Recordable
from tapegrad.ops.shaping import moveaxis, reshape_, shape_of

Rule = Callable[..., Any]

# Of these any grouping gives the same result.
_ASSOCIATIVE = frozenset(
    (
        *(np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp, np.logaddexp2, np.hypot),
        *(np.logical_and, np.logical_or, np.logical_xor),
    )
)


@cache
def method_of(ufunc: np.ufunc, method: str) -> Rule | None:
    """What a method of a ufunc means on recordable operands, or None."""
    rule = NUMPY.get(ufunc)
    if rule is None or (ufunc.nin, ufunc.nout) != (2, 1) or method not in _METHODS:
        return None
    return _METHODS[method](ufunc, rule)


def _part(a: Any, start: int | None, stop: int | None) -> Any:
    return getitem(a, index=((start, stop, None),))


def _dtype_of(a: Any) -> Any:
    return a.dtype if isinstance(a, Recordable) else np.asarray(a).dtype  # type: ignore[attr-defined]


def _reduce(ufunc: Any, rule: Rule) -> Rule:
    def reduce(a: Any, axis: Axis = 0, keepdims: bool = False, initial: Any = None, where: Any = None) -> Any:
        axes = axes_of(a, axis)
        stand_in = np.ones(tuple(min(n, 1) for n in shape_of(a)), dtype=_dtype_of(a))
        begin = {} if initial is None else {"initial": 1.0}
        ufunc.reduce(
            stand_in, axis=axes, **begin, **({} if where is None else {"where": np.bool_(True)})
        )  # its errors
        if where is not None:
            where = moveaxis(broadcast_to(where, shape=shape_of(a)), axes, range(len(axes)))
        moved = moveaxis(a, axes, range(len(axes)))
        rest = shape_of(moved)[len(axes) :]
        rows = reshape_(moved, (-1, *rest)) if axes else reshape_(moved, (1, *rest))
        kept = None if where is None else reshape_(where, shape_of(rows))
        found = _folded(ufunc, rule, rows, initial, kept)
        if not keepdims:
            return found
        return reshape_(found, tuple(1 if i in axes else n for i, n in enumerate(shape_of(a))))

    return reduce


def _folded(ufunc: np.ufunc, rule: Rule, rows: Any, initial: Any, kept: Any) -> Any:
    """The rows taken together, one after the other, or in pairs where that is the same."""
    shape = shape_of(rows)[1:]
    first = initial if initial is not None else ufunc.identity if kept is not None or not len(rows) else None
    if kept is None and first is None and ufunc in _ASSOCIATIVE:
        while shape_of(rows)[0] > 1:
            half = shape_of(rows)[0] // 2
            together = rule(_part(rows, None, half), _part(rows, half, 2 * half))
            rest = shape_of(rows)[0] - 2 * half
            rows = concatenate(together, _part(rows, 2 * half, None), axis=0) if rest else together
        return reshape_(rows, shape)
    start = 0
    if first is None:
        first, start = getitem(rows, index=(0,)), 1
    found = broadcast_to(first, shape=shape) if shape_of(first) != shape else first
    for i in range(start, shape_of(rows)[0]):
        step = rule(found, getitem(rows, index=(i,)))
        found = step if kept is None else where_(getitem(kept, index=(i,)), step, found)
    return found


def _accumulate(ufunc: np.ufunc, rule: Rule) -> Rule:
    def accumulate(a: Any, axis: int = 0) -> Any:
        axis = normalize_axis_index(axis, len(shape_of(a)))
        rows = moveaxis(a, axis, 0)
        n = shape_of(rows)[0]
        if n <= 1:
            return positive(a)
        if ufunc in _ASSOCIATIVE:
            reach = 1
            while reach < n:  # after each step, a row holds twice as many of those up to it
                together = rule(_part(rows, None, -reach), _part(rows, reach, None))
                rows = concatenate(_part(rows, None, reach), together, axis=0)
                reach *= 2
            return moveaxis(rows, 0, axis)
        found = [getitem(rows, index=(0,))]
        for i in range(1, n):
            found.append(rule(found[-1], getitem(rows, index=(i,))))
        return moveaxis(join([reshape_(x, (1, *shape_of(x))) for x in found], 0), 0, axis)

    return accumulate


def _reduceat(ufunc: np.ufunc, rule: Rule) -> Rule:
    def reduceat(array: Any, indices: Any, axis: int = 0) -> Any:
        starts = indices.decide() if isinstance(indices, Recordable) else np.asarray(indices)
        axis = normalize_axis_index(axis, len(shape_of(array)))
        rows = moveaxis(array, axis, 0)
        n = shape_of(rows)[0]
        ufunc.reduceat(np.ones(n), starts)  # its errors
        stops = [*starts[1:].tolist(), n]
        parts = [(i, j if j > i else i + 1) for i, j in zip(starts.tolist(), stops, strict=True)]
        if ufunc is np.add:
            taken = np.concatenate([np.arange(i, j) for i, j in parts])
            groups = np.repeat(np.arange(len(parts)), [j - i for i, j in parts])
            shape = (len(parts), *shape_of(rows)[1:])
            found = scatter(getitem(rows, taken, index=(ARRAY,)), groups, index=(ARRAY,), shape=shape)
        else:
            reduce = NUMPY.get(ufunc.reduce) or _reduce(ufunc, rule)
            found = join([reduce(_part(rows, i, j), axis=0, keepdims=True) for i, j in parts], 0)
        return moveaxis(found, 0, axis)

    return reduceat


_METHODS: dict[str, Callable[[np.ufunc, Rule], Rule]] = {
    "reduce": _reduce,
    "accumulate": _accumulate,
    "reduceat": _reduceat,
}
