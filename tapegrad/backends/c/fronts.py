"""The inverse of a sparse matrix at the positions of its pattern, front by front, in C.

The fronts are those of `tapegrad.sparse`, which computes the same in stacks of NumPy. Products of large
fronts are SciPy's BLAS, whose functions C is given by their addresses.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from scipy.linalg import cython_blas

from tapegrad.backends.c.commands import CompilationFailed, NoCompiler
from tapegrad.backends.c.library import library
from tapegrad.backends.c.runtime import header
from tapegrad.sparse.eliminated import EliminatedFactor
from tapegrad.sparse.fronts import FrontsFactor
from tapegrad.sparse.layout import Layout

Array = np.ndarray[Any, Any]

_LARGE: Final = 200_000  # elements in all fronts: with fewer, compiling never pays


class _Numbers:
    """The arrays that tell C where the fronts of a layout stand, and room for their elements.

    New room for a lattice of 300 by 300 takes as long as the work in it, so what is idle is kept.
    """

    def __init__(self, layout: Layout) -> None:
        fronts = layout.fronts
        self.groups = fronts.own.size
        self.own, self.rest, self.width, self.side, self.start, self.first, self.parent, self.begin = (
            _whole(part)
            for part in (
                *(fronts.own, fronts.rest, fronts.width, fronts.side, fronts.start, fronts.first),
                *(fronts.parent, fronts.begin),
            )
        )
        owners, rows = fronts.further // fronts.n, fronts.further % fronts.n
        self.place = _whole(fronts.places(fronts.parent[owners], rows))
        self._size, self._idle = layout.size, deque[Array](maxlen=1)
        self.shape = (self.groups, self.own, self.rest, self.width, self.side, self.start)

    @contextmanager
    def pool(self) -> Iterator[Array]:
        """Room for the elements of all fronts."""
        try:
            found = self._idle.pop()
        except IndexError:
            found = np.empty(self._size)
        try:
            yield found
        finally:
            self._idle.append(found)


def _whole(numbers: Array) -> Array:
    return np.ascontiguousarray(numbers, dtype=np.int64)


_known: WeakKeyDictionary[Layout, _Numbers] = WeakKeyDictionary()


@cache
def _library() -> ctypes.CDLL | None:
    """The functions in C; None where they cannot be compiled."""
    try:
        return library(header("fronts.h"))
    except (NoCompiler, CompilationFailed):
        return None


@cache
def _blas(name: str) -> ctypes.c_void_p:
    """The address of a function of SciPy's BLAS."""
    capsule = cython_blas.__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return ctypes.c_void_p(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)))


def inverse_subset(factored: Any) -> Array | None:
    """The elements of the inverse at the positions of the pattern; None where C is not asked for it.

    Parameters
    ----------
    factored : FrontsFactor or EliminatedFactor, or another factor, for which None is returned
    """
    if not isinstance(factored, FrontsFactor | EliminatedFactor):
        return None
    layout = factored.layout if isinstance(factored, FrontsFactor) else factored.places.layout
    if layout.size < _LARGE or (code := _library()) is None:
        return None
    numbers = _known.get(layout) or _known.setdefault(layout, _Numbers(layout))
    with numbers.pool() as pool:
        if isinstance(factored, FrontsFactor):
            _gains_of_fronts(factored, pool)
        else:
            _gains_of_lower(factored, numbers, pool, code)
        place = (numbers.parent, numbers.begin, numbers.place)
        _call(code.tg_fronts_inverse, *numbers.shape, *place, pool, _blas("dsymm"), _blas("dgemm"))
        found: Array = pool[layout.at]
    return found


def _call(function: Any, *arguments: Any) -> None:
    """Call a function in C, which tells of a lack of memory."""
    given = [
        one.ctypes.data_as(ctypes.c_void_p)
        if isinstance(one, np.ndarray)
        else ctypes.c_int64(one)
        if isinstance(one, int)
        else one
        for one in arguments
    ]
    if function(*given):
        raise MemoryError


def _gains_of_fronts(factored: FrontsFactor, pool: Array) -> None:
    """Write what C begins with, from the factors of each front."""
    for batch, (back, below) in zip(factored.layout.batches, factored.factors, strict=True):
        fronts = pool[batch.start : batch.stop].reshape(batch.count, batch.side, batch.side)
        own = batch.own
        np.matmul(back.transpose(0, 2, 1), back, out=fronts[:, :own, :own])
        if batch.rest:
            np.matmul(below, back, out=fronts[:, own:, :own])


def _gains_of_lower(factored: EliminatedFactor, numbers: _Numbers, pool: Array, code: ctypes.CDLL) -> None:
    """Write what C begins with, from L and D."""
    held, at = factored.places.of(factored.lower)
    pivots = np.empty(factored.pivots.size)
    pivots[factored.places.order] = factored.pivots
    lower = np.ascontiguousarray(factored.lower.data, dtype=np.float64)
    _call(code.tg_fronts_fill, *numbers.shape, pool, len(at), _whole(held), _whole(at), lower)
    _call(code.tg_fronts_gain, *numbers.shape, numbers.first, pool, pivots, _blas("dgemm"), _blas("dtrsm"))
