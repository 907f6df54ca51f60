"""Dual numbers: forward mode, one step at a time.

A dual number is ``a + b e`` with ``e**2 = 0``: a value and its tangent. Arithmetic on dual numbers computes
the tangents of the results, by the same derivative rules that tapes use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.derive.rules import jvp
from tapegrad.errors import TraceError
from tapegrad.ops import elementwise as ew
from tapegrad.ops import logic
from tapegrad.ops.indexing import getitem
from tapegrad.ops.linalg import matmul
from tapegrad.ops.registry import NUMPY, Op, Recordable
from tapegrad.ops.shaping import shape_of, transpose_
from tapegrad.recording.index import encode


def _operator(op: Op) -> Callable[[Dual, Any], Any]:
    return lambda self, other: op(self, other)


def _reflected(op: Op) -> Callable[[Dual, Any], Any]:
    return lambda self, other: op(other, self)


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: NUMPY[function](self, *args, **kwargs)


class Dual(Recordable):
    """A number or an array together with its tangent.

    Parameters
    ----------
    primal : float or array_like
        The value.
    tangent : float or array_like, optional
        Its derivative along some direction, of the same shape; 0 by default.

    Attributes
    ----------
    primal, tangent : float or ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.forward import Dual
    >>> x = Dual(3.0, 1.0)
    >>> x**2 + np.sin(x)
    Dual(9.14112001, 5.0100075)
    >>> np.exp(Dual([0.0, 1.0], [1.0, 0.0])).sum()
    Dual(3.71828183, 1.)
    """

    __slots__ = ("primal", "tangent")
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, primal: Any, tangent: Any = 0.0) -> None:
        self.primal = _number(primal)
        tangent = _number(tangent)
        if shape_of(tangent) != shape_of(self.primal):
            tangent = np.broadcast_to(tangent, shape_of(self.primal))
        self.tangent = tangent

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """The op on the values, with the tangent by its rule; plain values if the op has no derivative."""
        primals = tuple(arg.primal if isinstance(arg, Dual) else arg for arg in args)
        tangents = tuple(arg.tangent if isinstance(arg, Dual) else None for arg in args)
        with np.errstate(all="ignore"):
            out = op(*primals, **attrs)
            if op.rule is None:
                return out
            tangent = jvp(op, tangents, out, primals, attrs)
        return Dual(out, 0.0 if tangent is None else tangent)

    def plain(self) -> Any:
        """The value."""
        return self.primal.plain() if isinstance(self.primal, Recordable) else self.primal

    def decide(self) -> Any:
        """The value, for Python to decide on."""
        return self.primal.decide() if isinstance(self.primal, Recordable) else self.primal

    def __repr__(self) -> str:
        return f"Dual({_short(self.primal)}, {_short(self.tangent)})"

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return shape_of(self.primal)

    @property
    def ndim(self) -> int:
        """As of an array."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """As of an array."""
        return int(np.prod(self.shape, dtype=int))

    @property
    def T(self) -> Any:
        """The transpose."""
        return transpose_(self)

    def __len__(self) -> int:
        return len(self.primal)

    def __getitem__(self, index: Any) -> Any:
        spec, arrays = encode(index, self.shape)
        return getitem(self, *arrays, index=spec)

    def __bool__(self) -> bool:
        return bool(self.primal)

    # Operators ----------------------------------------------------------------------------------------------

    __add__, __radd__ = _operator(ew.add), _reflected(ew.add)
    __sub__, __rsub__ = _operator(ew.sub), _reflected(ew.sub)
    __mul__, __rmul__ = _operator(ew.mul), _reflected(ew.mul)
    __truediv__, __rtruediv__ = _operator(ew.div), _reflected(ew.div)
    __mod__, __rmod__ = _operator(ew.remainder), _reflected(ew.remainder)
    __floordiv__, __rfloordiv__ = _operator(ew.floor_divide), _reflected(ew.floor_divide)
    __pow__, __rpow__ = _operator(ew.power), _reflected(ew.power)
    __matmul__, __rmatmul__ = _operator(matmul), _reflected(matmul)
    __lt__, __le__ = _operator(logic.less), _operator(logic.less_equal)
    __gt__, __ge__ = _operator(logic.greater), _operator(logic.greater_equal)
    __eq__, __ne__ = _operator(logic.equal), _operator(logic.not_equal)

    def __neg__(self) -> Any:
        return ew.neg(self)

    def __abs__(self) -> Any:
        return ew.absolute(self)

    # NumPy --------------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _rule(ufunc if method == "__call__" else getattr(ufunc, method))(*inputs, **kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return _rule(func)(*args, **kwargs)

    sum, mean, prod = _function(np.sum), _function(np.mean), _function(np.prod)
    max, min, cumsum = _function(np.max), _function(np.min), _function(np.cumsum)
    reshape, ravel = _function(np.reshape), _function(np.ravel)


def _rule(function: Callable[..., Any]) -> Callable[..., Any]:
    rule = NUMPY.get(function)
    if rule is None:
        name = getattr(function, "__name__", str(function))
        raise TraceError(f"np.{name} does not take dual numbers: tapegrad has no derivative rule for it")
    return rule


def _number(value: Any) -> Any:
    """A number or an array as float64; anything recordable as it is."""
    if isinstance(value, Recordable):
        return value
    return np.asarray(value, dtype=np.float64)[()]


def _short(value: Any) -> str:
    return (
        np.array2string(np.asarray(value), precision=8) if not isinstance(value, Recordable) else repr(value)
    )
