"""Whose memory the result of an op or of a NumPy function lives in: its own, or that of an argument.

What is written into one array shows in another where NumPy gives a view, and only there. NumPy itself is
asked, on plain values in the same memory layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tapegrad.ops.broadcasting import broadcast_to
from tapegrad.ops.indexing import getitem
from tapegrad.ops.registry import Op
from tapegrad.recording.tracer import Tracer, is_traced, laid_out
from tapegrad.recording.view import Picked, View, Window

# Of ops -----------------------------------------------------------------------------------------------------


def view_of(owner: Tracer, made: Tracer, op: Op, attrs: dict[str, Any]) -> Tracer:
    """The result of `op` on `owner` alone: a view if NumPy gives a view."""
    if op is broadcast_to:  # one number many times over, which NumPy does not let be written to
        return View(
            made, owner, lambda: made.recorder.apply(op, (owner,), attrs), lambda x: op.kernel(x, **attrs)
        )
    return Window(made, owner, op, attrs) if owner.shape and _is_view(owner, made, op, attrs) else made


def _is_view(owner: Tracer, made: Tracer, op: Op, attrs: dict[str, Any]) -> bool:
    """Whether NumPy lets the result of an op share the memory of the array that it was made of."""
    if op is getitem and made.shape == () and Ellipsis not in attrs["index"]:
        return False  # an element is a copy
    if op.view_of(attrs, in_order=False) is not None:
        return True
    return np.may_share_memory(made.held, owner.held)  # the layout decides


# Of NumPy functions -----------------------------------------------------------------------------------------

# Their rules consist of ops that give views where these functions do.
BY_VIEWS: frozenset[Any] = frozenset(
    (
        *(np.reshape, np.squeeze, np.expand_dims, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.real),
        *(np.transpose, np.permute_dims, np.matrix_transpose, np.linalg.matrix_transpose),
        *(np.swapaxes, np.moveaxis, np.flip, np.fliplr, np.flipud, np.rot90, np.broadcast_to),
        *(np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit, np.rollaxis, np.unstack),
    )
)
# Of these NumPy is asked. All others give memory of their own.
ASKED: frozenset[Any] = frozenset(
    (np.ravel, np.diagonal, np.linalg.diagonal, np.diag, np.einsum, np.meshgrid, np.broadcast_arrays)
)

# The layout decides which later reshapes are views. These give rows one after another; the ops that compute
# them may not.
ROW_BY_ROW: frozenset[Any] = frozenset(
    (
        *(np.take, np.repeat, np.roll, np.delete, np.compress, np.linalg.cholesky),
        np.gradient,
    )
)

# The layout of these depends on their arguments: NumPy is asked.
LAID_OUT: frozenset[Any] = frozenset((np.cross, np.linalg.cross))

_MINDED = LAID_OUT | BY_VIEWS | ASKED | ROW_BY_ROW


def share(func: Any, args: Any, kwargs: dict[str, Any], result: Any, again: Callable[[], Any]) -> Any:
    """The result with the memory that NumPy gives it; `again` computes it anew."""
    if type(result) is Tracer and func not in _MINDED:
        for x in args:
            if x is result:
                break
        else:
            return result
    if func in BY_VIEWS:
        return result
    if func in ROW_BY_ROW or (func is np.einsum and len(args) > 2):
        return _each(result, lambda i, made: made.copy("C") if is_traced(made) and made.ndim > 1 else made)
    if func in LAID_OUT and is_traced(result) and result.ndim > 1:
        fresh = result.copy("K")
        fresh.held = laid_out(fresh.held, func(*_replaced(args, {}), **_replaced(kwargs, {})))
        return fresh
    owners = [x for x in _traced((args, kwargs)) if x.shape or x.is_view]
    if func not in ASKED:
        return _each(result, lambda i, made: _own(made, owners))
    return _as_numpy_gives(func, args, kwargs, result, again, owners)


def _as_numpy_gives(
    func: Any,
    args: Any,
    kwargs: dict[str, Any],
    result: Any,
    again: Callable[[], Any],
    owners: list[Tracer],
) -> Any:
    """The result, which lives where NumPy's own result of plain values does."""
    values = {id(x): np.asarray(x.plain()) for x in owners}

    def look(stand_ins: dict[int, Any]) -> Any:
        return func(*_replaced(args, stand_ins), **_replaced(kwargs, stand_ins))

    given = look(values)

    def place(i: int | None, made: Any) -> Any:
        def part(whole: Any) -> Any:
            return whole if i is None else whole[i]

        plain = part(given)
        if not is_traced(made):
            return plain
        owner = next((x for x in owners if _is_shared(plain, values[id(x)])), None)
        if owner is None:
            return made if _repeats(plain) else _own(made, owners, np.asarray(plain))
        if made is owner or _follows(made, owner):
            return made

        def look_at(value: Any) -> Any:
            return part(look({**values, id(owner): value}))

        return Picked(made, owner, lambda: part(again()), look_at, _places(look_at, values[id(owner)]))

    return _each(result, place)


def _traced(arg: Any) -> Iterator[Tracer]:
    if is_traced(arg):
        yield arg
    elif isinstance(arg, (list, tuple, dict)):
        for item in arg.values() if isinstance(arg, dict) else arg:
            yield from _traced(item)


def _replaced(arg: Any, stand_ins: dict[int, Any]) -> Any:
    if isinstance(arg, dict):
        return {key: _replaced(value, stand_ins) for key, value in arg.items()}
    if isinstance(arg, (list, tuple)):
        return type(arg)([_replaced(item, stand_ins) for item in arg])
    if not is_traced(arg):
        return arg
    return stand_ins[id(arg)] if id(arg) in stand_ins else np.asarray(arg.plain())[()]


def _each(result: Any, place: Callable[[int | None, Any], Any]) -> Any:
    """The result, or each of several, put in its place."""
    if not isinstance(result, (list, tuple)):
        return place(None, result)
    placed = [place(i, made) for i, made in enumerate(result)]
    if all(a is b for a, b in zip(placed, result, strict=True)):
        return result
    return type(result)(*placed) if hasattr(result, "_fields") else type(result)(placed)


def _own(made: Any, owners: list[Tracer], like: Any = None) -> Any:
    """What was made, in memory of its own, and in the layout of `like`."""
    is_alias = is_traced(made) and (made.is_view or any(made is x for x in owners))
    if not is_alias:
        return made
    fresh = made.copy("K")
    fresh.held = fresh.held if like is None else laid_out(fresh.held, like)
    return fresh


def _is_shared(given: Any, value: Any) -> bool:
    return isinstance(given, np.ndarray) and np.shares_memory(given, value)


def _repeats(given: Any) -> bool:
    """Whether NumPy gives one number many times over, which it does not let be written to."""
    return isinstance(given, np.ndarray) and given.size > 1 and 0 in given.strides


def _follows(made: Any, owner: Tracer) -> bool:
    """Whether this is a view of the owner already."""
    while isinstance(made, View):
        made = made.owner
        if made is owner:
            return True
    return False


def _places(look: Callable[[Any], Any], value: Any) -> Any:
    """Where each element of a view stands in its owner; None if the view cannot be written to."""
    stand_in = np.empty_like(value, dtype=np.intp)
    stand_in[...] = np.arange(value.size).reshape(value.shape)
    view = look(stand_in)
    return np.array(view) if view.flags.writeable and np.unique(view).size == view.size else None
