"""NumPy functions that only move elements: NumPy itself moves their positions, and a gather follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tapegrad.ops import arranging
from tapegrad.ops.indexing import ARRAY, concatenate, getitem
from tapegrad.ops.indexing import roll as roll_by_one
from tapegrad.ops.registry import Recordable, implements
from tapegrad.ops.shaping import moveaxis, ravel, shape_of

Move = Callable[..., Any]


def _positions(x: Any, start: int = 0) -> Any:
    shape = shape_of(x)
    return np.arange(start, start + math.prod(shape)).reshape(shape)


def moved(a: Any, move: Move) -> Any:
    """The elements of an array where `move` puts their positions."""
    return getitem(ravel(a), move(_positions(a)), index=(ARRAY,))


def joined(a: Any, b: Any, move: Move) -> Any:
    """The elements of two arrays where `move` puts their positions."""
    both = concatenate(ravel(a), ravel(b), axis=0)
    return getitem(both, move(_positions(a), _positions(b, math.prod(shape_of(a)))), index=(ARRAY,))


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """NumPy's `roll`."""
    if isinstance(shift, (int, np.integer)) and (axis is None or isinstance(axis, (int, np.integer))):
        return roll_by_one(a, int(shift), None if axis is None else int(axis))
    return moved(a, lambda places: np.roll(places, shift, axis))


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """NumPy's `resize`: repeats the elements as often as it takes."""
    return moved(a, lambda places: np.resize(places, new_shape))


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """NumPy's `diagflat`."""
    return joined(np.zeros(1), v, lambda zero, places: _diagflat(places, k))


def _diagflat(places: Any, k: int) -> Any:
    return np.diagflat(places, k)  # where nothing is put stands 0, the position of the zero


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """NumPy's `rollaxis`."""
    ndim = len(shape_of(a))
    axis = normalize_axis_index(axis, ndim)
    start = start + ndim if start < 0 else start
    return moveaxis(a, axis, start - 1 if axis < start else start)


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """NumPy's `unstack`."""
    rows = moveaxis(x, axis, 0)
    return tuple(getitem(rows, index=(i,)) for i in range(shape_of(rows)[0]))


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: Any = "fb", axis: Any = None) -> Any:
    """NumPy's `trim_zeros`; which elements are 0 is guarded."""
    is_zero = filt == 0.0
    kept = np.logical_not(is_zero.decide() if isinstance(is_zero, Recordable) else is_zero)
    places = np.where(kept, 1 + _positions(filt), 0)
    left = np.trim_zeros(places, trim, axis)
    start = np.argwhere(kept).min(axis=0) if kept.any() and "f" in trim.lower() else [0] * kept.ndim
    return getitem(
        filt, index=tuple((int(i), int(i) + n, None) for i, n in zip(start, left.shape, strict=True))
    )


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """NumPy's `insert`, at plain indices."""
    return joined(arr, values, lambda places, new: np.insert(places, obj, new, axis))


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", constant_values: Any = 0.0) -> Any:
    """NumPy's `pad` by constants, or by elements that are there."""
    if mode in ("edge", "reflect", "symmetric", "wrap"):
        return moved(array, lambda places: np.pad(places, pad_width, mode=mode))
    if mode != "constant":
        raise NotImplementedError(f"np.pad with mode={mode!r}: write np.concatenate")
    if not shape_of(constant_values) and not isinstance(pad_width, dict):
        return arranging.pad(array, pad_width, constant_values)
    return joined(array, constant_values, lambda places, new: np.pad(places, pad_width, constant_values=new))


@implements(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """NumPy's `fftshift`."""
    return moved(x, lambda places: np.fft.fftshift(places, axes))


@implements(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """NumPy's `ifftshift`."""
    return moved(x, lambda places: np.fft.ifftshift(places, axes))


@implements(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """NumPy's `astype`."""
    return x.astype(dtype, copy=copy)


@implements(np.unravel_index)
def unravel_index(indices: Any, shape: Any) -> Any:
    """NumPy's `unravel_index`: traced indices are guarded."""
    return np.unravel_index(np.asarray(indices.decide()), shape)


@implements(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise") -> Any:
    """NumPy's `ravel_multi_index`: traced indices are guarded."""
    plain = tuple(np.asarray(i.decide()) if isinstance(i, Recordable) else i for i in multi_index)
    return np.ravel_multi_index(plain, dims, mode)
