"""Plain arrays that the user's function makes while it is traced, and fills with traced values.

Until a traced value is written into one, a buffer is an array like any other. From then on the array that
owns the memory, its root, holds a traced array, and each view of that memory is a view of it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np

from tapegrad.ops.indexing import ARRAY, Index, decode, getitem
from tapegrad.ops.registry import FLOAT
from tapegrad.ops.shaping import reshape, transpose
from tapegrad.recording.current import current_trace
from tapegrad.recording.tracer import Trace, Tracer
from tapegrad.recording.values import Array
from tapegrad.recording.view import Picked

_SHAPE: Any = np.ndarray.shape
# These write into their first argument.
_WRITERS: frozenset[Any] = frozenset(
    (np.copyto, np.place, np.putmask, np.put, np.put_along_axis, np.fill_diagonal)
)


class Buffer(np.ndarray[Any, Any]):
    """A float64 array in whose memory traced values may come to stand.

    Once one does, the root keeps the traced array, and the memory itself holds NaN: code that reads it past
    this class, as compiled code does, shall not find numbers of one call there.
    """

    __slots__ = ("as_traced", "cell")
    cell: Tracer | None  # of a root: the traced array
    as_traced: Tracer | None  # of a view: the view of that

    def __array_finalize__(self, source: Any) -> None:
        self.cell = self.as_traced = None

    @property
    def recorded(self) -> Tracer | None:
        """The traced array that this is by now, or None."""
        root = root_of(self)
        if root is None or root.cell is None:
            return None
        if root is self and root.cell.shape == self.shape:
            return root.cell
        if self.as_traced is None:
            self.as_traced = _view(root.cell, root, self)
        return self.as_traced

    def become_traced(self, trace: Trace) -> Tracer:
        """The traced array that this is from now on."""
        root = root_of(self)
        assert root is not None
        if root.cell is None:
            root.cell = trace.lift(_plain(root).copy(), None).copy("K")
            _plain(root)[...] = np.nan
            trace.has_buffers = True
        found = self.recorded
        assert found is not None
        return found

    # NumPy's protocols --------------------------------------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = (), **kwargs: Any
    ) -> Any:
        trace = trace_in((inputs, out, kwargs))
        written = inputs[:1] if method == "at" else out
        targets = _targets(written, trace)
        given = {"out": unbuffered(out)} if out else {}
        result = getattr(ufunc, method)(*unbuffered(inputs), **given, **unbuffered(kwargs))
        if out and any(isinstance(target, Buffer) for target in targets):
            return targets[0] if len(targets) == 1 else targets
        return result if trace is not None or out else rebuffered(result)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        trace, out = trace_in((args, kwargs)), kwargs.get("out")
        _targets(args[:1] if func in _WRITERS else (), trace)
        targets = _targets(out if isinstance(out, tuple) else (out,), trace)
        args, kwargs = _taken(func.__name__, args, kwargs)
        result = func(*unbuffered(args), **unbuffered(kwargs))
        if isinstance(targets[0], Buffer):
            return targets[0]
        return result if trace is not None else rebuffered(result)

    # Its length ---------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """As of any array; where code is told of other rows than there are, see `Posing`, those."""
        return _told(_SHAPE.__get__(self), sys._getframe(1))

    @shape.setter
    def shape(self, shape: Any) -> None:
        _SHAPE.__set__(self, _taken("reshape", (shape,), {})[0][0])

    @property
    def size(self) -> int:
        """As of any array."""
        return math.prod(_told(_SHAPE.__get__(self), sys._getframe(1)))

    @property
    def nbytes(self) -> int:
        """As of any array."""
        return math.prod(_told(_SHAPE.__get__(self), sys._getframe(1))) * self.itemsize

    def __len__(self) -> int:
        shape = _told(_SHAPE.__get__(self), sys._getframe(1))
        return shape[0] if shape else super().__len__()

    # Elements -----------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        own = self.recorded
        return super().__getitem__(index) if own is None else own[unbuffered(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        own = self.recorded
        if own is None:
            trace = trace_in((index, value))
            if trace is None:
                super().__setitem__(unbuffered(index), unbuffered(value))
                return
            own = self.become_traced(trace)
        own[unbuffered(index)] = own.recorder.lift(unbuffered(value), None)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, item: Any) -> bool:
        return bool((self == item).any())

    @property
    def flat(self) -> Any:
        """The elements, one after another."""
        return self.reshape(-1) if self.flags.c_contiguous else _plain(self).flat

    def __repr__(self) -> str:
        return repr(unbuffered(self))

    def __str__(self) -> str:
        return str(unbuffered(self))

    def __format__(self, spec: str) -> str:
        return format(unbuffered(self), spec)

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()


# What is a traced array by now answers as one.
_ASKED = (
    *("all", "any", "argmax", "argmin", "argsort", "astype", "clip", "compress", "conj", "conjugate"),
    *("copy", "cumprod", "cumsum", "diagonal", "dot", "flatten", "item", "max", "mean", "min", "nonzero"),
    *("prod", "ravel", "repeat", "reshape", "round", "searchsorted", "squeeze", "std", "sum", "swapaxes"),
    *("take", "tolist", "trace", "transpose", "var"),
    *("__bool__", "__complex__", "__divmod__", "__float__", "__index__", "__int__", "__rdivmod__"),
    *("__copy__", "__pos__"),
)
_WRITING = ("fill", "put", "sort", "partition")


def _method(name: str) -> Callable[..., Any]:
    plainly = getattr(np.ndarray, name)

    def method(self: Buffer, *args: Any, **kwargs: Any) -> Any:
        own = self.recorded
        args, kwargs = _taken(name, args, kwargs)
        if own is None:
            trace = trace_in((args, kwargs))
            if trace is None:
                return plainly(self, *args, **kwargs)
            writes = name in _WRITING
            own = self.become_traced(trace) if writes else trace.lift(_plain(self).copy(), None)
        return getattr(own, name)(*unbuffered(args), **unbuffered(kwargs))

    method.__name__ = name
    return method


for _name in (*_ASKED, *_WRITING):
    setattr(Buffer, _name, _method(_name))


def _told(shape: tuple[int, ...], asks: FrameType) -> tuple[int, ...]:
    """A shape as the code is told it that asks."""
    trace = current_trace()
    return shape if trace is None or trace.posing is None else trace.posing.shape(shape, asks.f_code)


def _taken(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Arguments with the rows that there are in the places of those that code was told of."""
    trace = current_trace()
    return (args, kwargs) if trace is None or trace.posing is None else trace.posing.taken(name, args, kwargs)


# Memory -----------------------------------------------------------------------------------------------------


def as_buffer(array: Any) -> Any:
    """A fresh array as a buffer, if it is an array of floats."""
    if type(array) is not np.ndarray or array.dtype != FLOAT:
        return array
    order: Any = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    made = np.ndarray.__new__(Buffer, array.shape, FLOAT, order=order)
    _plain(made)[...] = array
    return made


def root_of(array: Any) -> Buffer | None:
    """The buffer whose memory an array lives in, or None."""
    found = array if type(array) is Buffer else None
    while isinstance(array.base, np.ndarray):
        array = array.base
        found = array if type(array) is Buffer else found
    return found


def traced_memory(array: Array) -> Tracer | None:
    """A plain view of a buffer as the traced array that stands there by now, or None."""
    root = root_of(array)
    return None if root is None or root.cell is None else _view(root.cell, root, array)


def numbers_in(buffer: Buffer) -> Any:
    """The numbers that a traced buffer holds, as they are by now: nothing is recorded."""
    root = root_of(buffer)
    assert root is not None
    assert root.cell is not None
    return np.array(_look(root, buffer)(root.cell.held))


def cell_of(buffer: Buffer) -> Tracer | None:
    """The traced array that stands in the memory of a buffer, which may be larger, or None."""
    root = root_of(buffer)
    return None if root is None else root.cell


def _first(root: Buffer, array: Array) -> int:
    """How many numbers of the root's memory stand before the first one of `array`, which lives there."""
    return (_address(array) - _address(root)) // FLOAT.itemsize


def _look(root: Buffer, array: Array) -> Callable[[Any], Any]:
    """What makes of a value of a root the view that `array` is of the root's memory."""
    first, strides, shape = _first(root, array), array.strides, array.shape
    like = _plain(root)

    def look(value: Any) -> Any:
        held = np.empty_like(like, dtype=np.asarray(value).dtype)
        held[...] = value.reshape(like.shape)
        memory = held.ravel(order="K")  # no copy: the numbers in the order of their addresses
        return np.lib.stride_tricks.as_strided(memory[first:], shape, strides)

    return look


def _view(cell: Tracer, root: Buffer, array: Array) -> Tracer:
    """The view of the traced array of a root that `array` is of the root's memory."""
    look, like = _look(root, array), _plain(root)
    places = np.array(look(np.arange(like.size).reshape(like.shape)))

    sliced = _sliced(like, _first(root, array), array.strides, places)

    def read() -> Tracer:
        apply = cell.recorder.apply
        if sliced is not None:
            index, axes = sliced
            found: Tracer = apply(getitem, (cell,), {"index": index})
            if axes != tuple(sorted(axes)):
                found = apply(transpose, (found,), {"axes": axes})
            return found
        flat = apply(reshape, (cell,), {"shape": (like.size,)})
        picked: Tracer = apply(getitem, (flat, places), {"index": (ARRAY,)})
        return picked

    return Picked(read(), cell, read, look, places)


def _sliced(
    like: Array, first: int, strides: tuple[int, ...], places: Array
) -> tuple[Index, tuple[int, ...]] | None:
    """The view at these places as slices, and the order of the axes after them; None if it is none."""
    if not like.size or not places.size:
        return None
    start = np.argwhere(_in_memory(like) == first)[0].tolist()
    index: list[Any] = list(start)
    order = []
    for stride, n in zip(strides, places.shape, strict=True):
        fits = [k for k in range(like.ndim) if k not in order and stride and stride % like.strides[k] == 0]
        fits = [k for k in fits if 0 <= start[k] + stride // like.strides[k] * (n - 1) < like.shape[k]]
        if not fits:
            return None
        k = max(fits, key=lambda k: like.strides[k])
        step, stop = stride // like.strides[k], start[k] + stride // like.strides[k] * n
        is_whole = step == 1 and n == like.shape[k]
        index[k] = (None, None, None) if is_whole else (start[k], stop if stop >= 0 else None, step)
        order.append(k)
    axes = tuple(sorted(order).index(k) for k in order)
    taken = np.arange(like.size).reshape(like.shape)[decode(tuple(index))]
    same = taken.ndim == places.ndim and np.array_equal(taken.transpose(axes), places)
    return (tuple(index), axes) if same else None


def _in_memory(like: Array) -> Array:
    """For each element the place of its address among those of all."""
    found = np.empty_like(like, dtype=np.intp)
    found.ravel(order="K")[...] = np.arange(like.size)
    return found


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _plain(buffer: Buffer) -> Array:
    return buffer.view(np.ndarray)


def _targets(written: Any, trace: Trace | None) -> Any:
    """What is written to; the buffers among it are traced from now on, if something traced is written."""
    if trace is not None:
        for target in written:
            if isinstance(target, Buffer):
                target.become_traced(trace)
    return written


# Arguments --------------------------------------------------------------------------------------------------


def trace_in(arg: Any) -> Trace | None:
    """The trace whose values stand in a nest of arguments, or None."""
    if isinstance(arg, Tracer):
        return arg.recorder
    if isinstance(arg, (list, tuple, dict)):
        for item in arg.values() if isinstance(arg, dict) else arg:
            if (found := trace_in(item)) is not None:
                return found
    elif isinstance(arg, np.ndarray):
        if type(arg) is Buffer:
            own = arg.recorded
            return None if own is None else own.recorder
        if arg.dtype.hasobject:
            return next((item.recorder for item in arg.flat if isinstance(item, Tracer)), None)
    return None


def unbuffered(arg: Any) -> Any:
    """Arguments with plain and traced arrays in the places of buffers."""
    if type(arg) is Buffer:
        own = arg.recorded
        return _plain(arg) if own is None else own
    if type(arg) in (list, tuple):
        return type(arg)([unbuffered(item) for item in arg])
    if type(arg) is dict:
        return {key: unbuffered(item) for key, item in arg.items()}
    return arg


def rebuffered(result: Any) -> Any:
    """The result of plain arguments: what lives in a buffer's memory is a view of it, all else a buffer.

    Where no trace runs, it is left as it is.
    """
    if current_trace() is None:
        return result
    if type(result) is np.ndarray:
        return result.view(Buffer) if root_of(result) is not None else as_buffer(result)
    if type(result) in (list, tuple):
        return type(result)([rebuffered(item) for item in result])
    return result
