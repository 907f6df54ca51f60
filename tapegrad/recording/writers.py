"""NumPy's functions that write into an array they are given, on traced arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.indexing import ARRAY, getitem, scatter, update
from tapegrad.ops.logic import where as where_
from tapegrad.ops.registry import BOOL, NUMPY
from tapegrad.ops.shaping import ravel, reshape_, shape_of
from tapegrad.recording.frames import whereabouts
from tapegrad.recording.lent import buffer_wanted
from tapegrad.recording.messages import no_rule
from tapegrad.recording.tracer import is_traced

Array = np.ndarray[Any, Any]


def _settled(x: Any) -> Any:
    """What NumPy needs to know to find the places: a traced one is guarded."""
    return np.asarray(x.decide()) if is_traced(x) else x


def _write(target: Any, values: Any, put: Callable[[Array, Array], Any]) -> None:
    """Write values into a traced array at the places at which NumPy puts their positions."""
    if not is_traced(target):
        raise buffer_wanted(target)
    source = np.full(target.shape, -1)
    put(source, np.arange(int(np.prod(shape_of(values)))).reshape(shape_of(values)))
    flat = ravel(values) if is_traced(values) else np.ravel(values)
    if (source >= 0).any():
        taken = getitem(flat, np.maximum(source, 0), index=(ARRAY,))
        target.receive(where_(source >= 0, taken, target))


def _copy_to(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if not is_traced(dst):
        buffer_wanted(dst)
        raise no_rule(np.copyto, "np.copyto into a plain array", whereabouts())
    dst[...] = src if where is True else where_(where, src, dst)


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    _write(a, val, lambda to, of: np.fill_diagonal(to, of, wrap))


def _put(a: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
    _write(a, v, lambda to, of: np.put(to, _settled(ind), of, mode))


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None = -1) -> None:
    _write(arr, values, lambda to, of: np.put_along_axis(to, _settled(indices), of, axis))


def _place(arr: Any, mask: Any, vals: Any) -> None:
    _write(arr, vals, lambda to, of: np.place(to, _settled(mask), of))


def _put_mask(a: Any, mask: Any, values: Any) -> None:
    if is_traced(a) and shape_of(values) in ((), a.shape):
        a.receive(where_(mask, values, a))
    else:
        _write(a, values, lambda to, of: np.putmask(to, _settled(mask), of))


WRITERS: dict[Any, Callable[..., None]] = {
    np.copyto: _copy_to,
    np.fill_diagonal: _fill_diagonal,
    np.put: _put,
    np.put_along_axis: _put_along_axis,
    np.place: _place,
    np.putmask: _put_mask,
}


# ufunc.at ---------------------------------------------------------------------------------------------------


def write_at(ufunc: np.ufunc, name: str, target: Any, indices: Any, values: tuple[Any, ...]) -> None:
    """``ufunc.at(target, indices, *values)``: one after the other where an element is named twice."""
    rule = NUMPY.get(ufunc)
    if rule is None:
        raise no_rule(ufunc, name, whereabouts())
    if not is_traced(target):
        raise buffer_wanted(target)
    if ufunc.nout > 1:
        raise TraceError(f"{name} cannot be traced{whereabouts()}: it gives {ufunc.nout} results")
    if ufunc in (np.add, np.subtract) and is_traced(indices) and indices.dtype != BOOL:
        shape = (*indices.shape, *target.shape[1:])
        (value,) = [NUMPY[np.broadcast_to](v, shape) for v in values]
        target.receive(rule(target, scatter(value, indices, index=(ARRAY,), shape=target.shape)))
        return
    index = tuple(map(_settled, indices)) if isinstance(indices, tuple) else _settled(indices)
    chosen = np.arange(target.size).reshape(target.shape)[index]
    places = chosen.ravel()
    operands = [reshape_(NUMPY[np.broadcast_to](v, chosen.shape), (-1,)) for v in values]
    flat = reshape_(target, (-1,))
    if ufunc in (np.add, np.subtract):
        changed = rule(flat, scatter(*operands, places, index=(ARRAY,), shape=(target.size,)))
    else:
        changed = flat
        for turn in _turns(places):
            now = [getitem(v, turn, index=(ARRAY,)) for v in operands]
            result = rule(getitem(changed, places[turn], index=(ARRAY,)), *now)
            changed = update(changed, result, places[turn], index=(ARRAY,))
    target.receive(reshape_(changed, target.shape))


def _turns(places: Array) -> list[Array]:
    """Which of the places come first, which are named for the second time, and so on."""
    order = np.argsort(places, kind="stable")
    in_order = places[order]
    firsts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]]) if places.size else order
    rank = np.empty_like(places)
    rank[order] = np.arange(places.size) - np.repeat(firsts, np.diff(np.r_[firsts, places.size]))
    return [np.flatnonzero(rank == k) for k in range(rank.max(initial=-1) + 1)]
