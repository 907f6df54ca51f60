"""Reverse-mode differentiation on linked nodes rebuilt at every call: the idea in one file, and the baseline.

Each operation makes a `Value`: its result, the nodes it was computed from, and a closure that sends its
gradient to these nodes. `Value.backward` puts the nodes in topological order, and calls their closures from
last to first.

The user's function is plain NumPy: a `Value` takes part through Python's operators, NumPy's ufuncs and
`__array_function__`. Plain numbers and arrays among the operands are constants and get no node. A scalar
stays a Python float, with Python's rules: dividing it by zero raises `ZeroDivisionError`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from scipy import special

from tapegrad.derive.rules import vjp
from tapegrad.ops.registry import FLOAT, Op, Recordable

Number: TypeAlias = Any  # a float for a scalar, a float64 array for anything else
Operand: TypeAlias = Any  # a Value, or a constant: whatever NumPy makes a number or an array of
Rule: TypeAlias = Callable[..., Number]  # how the gradient of a result goes back to one operand

_UFUNCS: Final[dict[np.ufunc, Callable[..., Any]]] = {}  # what stands for np.exp, np.add, ...


def _data(operand: Operand) -> Number:
    if isinstance(operand, Value):
        return operand.data
    return operand if isinstance(operand, (float, int, np.ndarray)) else np.asarray(operand)


def _unbroadcast(grad: Number, shape: tuple[int, ...]) -> Number:
    """Sum a gradient over the axes along which broadcasting had repeated its node."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    repeated = tuple(axis for axis, length in enumerate(shape) if length == 1)
    return grad.sum(axis=repeated, keepdims=True)


def _send(node: Value, grad: Number) -> None:
    """Add to the gradient of a node; never in place, since several nodes may hold the same array."""
    if type(node.data) is float:
        node.grad += float(grad.sum()) if isinstance(grad, np.ndarray) else float(grad)
        return
    if grad.shape != node.data.shape:
        grad = _unbroadcast(grad, node.data.shape)
    # The float 0.0 is how `backward` marks a node that nothing has reached yet.
    node.grad = grad if type(node.grad) is float else node.grad + grad


def _send_one(a: Value, to_a: Rule, x: Number, y: Number, z: Number, g: Number) -> None:
    _send(a, to_a(g, x, y, z))


def _send_both(
    a: Value, b: Value, to_a: Rule, to_b: Rule, x: Number, y: Number, z: Number, g: Number
) -> None:
    _send(a, to_a(g, x, y, z))
    _send(b, to_b(g, x, y, z))


def _unary(ufunc: np.ufunc, to_a: Rule) -> Callable[..., Value]:
    """The operation y = ufunc(x), whose gradient g goes back as to_a(g, x, y)."""

    def op(a: Value) -> Value:
        x = a.data
        y = ufunc(x)
        return Value(y, (a,), lambda g: _send(a, to_a(g, x, y)))

    _UFUNCS[ufunc] = op
    return op


def _binary(ufunc: np.ufunc, forward: Callable[..., Number], to_a: Rule, to_b: Rule) -> Callable[..., Value]:
    """The operation z = forward(x, y), whose gradient goes back as to_a(g, x, y, z) and to_b(g, x, y, z)."""

    def op(a: Operand, b: Operand) -> Value:
        x, y = _data(a), _data(b)
        z = forward(x, y)
        # A `partial` is the closure that costs the garbage collector least, and it sees millions of them.
        if not isinstance(b, Value):
            return Value(z, (a,), partial(_send_one, a, to_a, x, y, z))
        if not isinstance(a, Value):
            return Value(z, (b,), partial(_send_one, b, to_b, x, y, z))
        return Value(z, (a, b), partial(_send_both, a, b, to_a, to_b, x, y, z))

    _UFUNCS[ufunc] = op
    return op


def _swapped(op: Callable[..., Value]) -> Callable[..., Value]:
    return lambda self, other: op(other, self)


def _compare(ufunc: np.ufunc, forward: Callable[..., Any]) -> Callable[..., Any]:
    def op(a: Operand, b: Operand) -> Any:
        return forward(_data(a), _data(b))

    _UFUNCS[ufunc] = op
    return op


def _times_power(g: Number, x: Number, p: Number) -> Number:
    """g * x**p in two steps: x**p alone can leave the range of floats."""
    half = np.rint(0.5 * p)
    return g * x**half * x ** (p - half)


def _wins(x: Number, y: Number) -> Number:
    """1 where x > y, 0 where x < y, and one half where they tie."""
    return (x > y) + 0.5 * (x == y)


class Value(Recordable):
    """A number or an array in the computation, with the gradient of the result with respect to it.

    Parameters
    ----------
    data : float or array_like
        The value: kept as a float if it is a scalar, as a float64 array otherwise.
    prev : tuple of Value
        The nodes it was computed from; empty for a parameter.
    back : callable, optional
        Takes the gradient of this node and adds its share to the gradient of each node in `prev`.

    Attributes
    ----------
    grad : float or ndarray
        Set by `backward` on the result; 0.0 before that.

    Examples
    --------
    >>> x = Value(2.0)
    >>> y = x**3 + 1.0
    >>> y.backward()
    >>> y.data, x.grad
    (9.0, 12.0)
    """

    __slots__ = ("back", "data", "grad", "prev")

    def __init__(
        self, data: Number, prev: tuple[Value, ...] = (), back: Callable[[Number], None] | None = None
    ) -> None:
        if type(data) is not float:
            array = np.asarray(data, dtype=np.float64)
            data = array if array.ndim else float(array)
        self.data = data
        self.grad: Number = 0.0
        self.prev = prev
        self.back = back

    exp = _unary(np.exp, lambda g, x, y: g * y)
    expm1 = _unary(np.expm1, lambda g, x, y: g * np.exp(x))
    log = _unary(np.log, lambda g, x, y: g / x)
    log1p = _unary(np.log1p, lambda g, x, y: g / (1.0 + x))
    sqrt = _unary(np.sqrt, lambda g, x, y: 0.5 * g / y)
    square = _unary(np.square, lambda g, x, y: 2.0 * g * x)
    sin = _unary(np.sin, lambda g, x, y: g * np.cos(x))
    cos = _unary(np.cos, lambda g, x, y: -g * np.sin(x))
    tanh = _unary(np.tanh, lambda g, x, y: g / np.cosh(x) / np.cosh(x))
    sigmoid = _unary(special.expit, lambda g, x, y: g * y * special.expit(-x))
    gammaln = _unary(special.gammaln, lambda g, x, y: g * special.digamma(x))
    __abs__ = _unary(np.absolute, lambda g, x, y: g * np.sign(x))
    __neg__ = _unary(np.negative, lambda g, x, y: -g)

    __add__ = _binary(np.add, operator.add, lambda g, x, y, z: g, lambda g, x, y, z: g)
    __sub__ = _binary(np.subtract, operator.sub, lambda g, x, y, z: g, lambda g, x, y, z: -g)
    __mul__ = _binary(np.multiply, operator.mul, lambda g, x, y, z: g * y, lambda g, x, y, z: g * x)
    __truediv__ = _binary(
        np.divide, operator.truediv, lambda g, x, y, z: g / y, lambda g, x, y, z: -g * z / y
    )
    __pow__ = _binary(
        np.power,
        operator.pow,
        # The exponent is y - 1, but 0 where y is 0: the derivative there is 0, also at x = 0.
        lambda g, x, y, z: _times_power(g * y, x, y - (y != 0)),
        lambda g, x, y, z: g * special.xlogy(z, x),
    )
    logaddexp = _binary(
        np.logaddexp, np.logaddexp, lambda g, x, y, z: g * np.exp(x - z), lambda g, x, y, z: g * np.exp(y - z)
    )
    maximum = _binary(
        np.maximum, np.maximum, lambda g, x, y, z: g * _wins(x, y), lambda g, x, y, z: g * _wins(y, x)
    )
    minimum = _binary(
        np.minimum, np.minimum, lambda g, x, y, z: g * _wins(y, x), lambda g, x, y, z: g * _wins(x, y)
    )
    xlogy = _binary(
        special.xlogy, special.xlogy, lambda g, x, y, z: g * np.log(y), lambda g, x, y, z: g * x / y
    )
    xlog1py = _binary(
        special.xlog1py,
        special.xlog1py,
        lambda g, x, y, z: g * np.log1p(y),
        lambda g, x, y, z: g * x / (1.0 + y),
    )
    __matmul__ = _binary(
        np.matmul,
        operator.matmul,  # of vectors and matrices
        lambda g, x, y, z: np.multiply.outer(g, y) if y.ndim == 1 else g @ y.T,
        lambda g, x, y, z: np.multiply.outer(x, g) if x.ndim == 1 else x.T @ g,
    )
    __radd__, __rsub__, __rmul__ = _swapped(__add__), _swapped(__sub__), _swapped(__mul__)
    __rtruediv__, __rpow__, __rmatmul__ = _swapped(__truediv__), _swapped(__pow__), _swapped(__matmul__)
    __lt__, __le__ = _compare(np.less, operator.lt), _compare(np.less_equal, operator.le)
    __gt__, __ge__ = _compare(np.greater, operator.gt), _compare(np.greater_equal, operator.ge)
    __eq__, __ne__ = _compare(np.equal, operator.eq), _compare(np.not_equal, operator.ne)
    __hash__ = object.__hash__  # nodes are told apart by identity, though == compares their data

    def relu(self) -> Value:
        x = self.data
        return Value(np.maximum(x, 0.0), (self,), lambda g: _send(self, g * (x > 0.0)))

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Value:
        def back(g: Number) -> None:
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            _send(self, np.broadcast_to(g, self.shape))

        return Value(np.sum(self.data, axis=axis, keepdims=keepdims), (self,), back)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Value:
        total = self.sum(axis, keepdims)
        return total * (total.size / self.size)

    def __getitem__(self, key: Any) -> Value:
        def back(g: Number) -> None:
            full = np.zeros(self.shape)
            np.add.at(full, key, g)  # not full[key] = g: an index may be repeated
            _send(self, full)

        return Value(self.data[key], (self,), back)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __repr__(self) -> str:
        return f"Value(data={self.data!r}, grad={self.grad!r})"

    @property
    def shape(self) -> tuple[int, ...]:
        return () if type(self.data) is float else self.data.shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.size(self.data))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Operand, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc not in _UFUNCS:
            known = ", ".join(sorted(known.__name__ for known in _UFUNCS))
            call = f"{ufunc.__name__}{'' if method == '__call__' else '.' + method}"
            options = f" with {', '.join(kwargs)}" if kwargs else ""
            raise TypeError(f"no graph rule for {call}{options}; expected a plain call of one of {known}")
        return _UFUNCS[ufunc](*inputs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        if function not in _FUNCTIONS:
            known = ", ".join(sorted(known.__name__ for known in _FUNCTIONS))
            raise TypeError(f"no graph rule for {function.__name__}; expected a ufunc or one of {known}")
        return _FUNCTIONS[function](*args, **kwargs)

    # `tapegrad.stats` uses ops of tapegrad itself. These have derivative rules of their own.

    def apply(self, op: Op, args: tuple[Operand, ...], attrs: dict[str, Any]) -> Any:
        """One of tapegrad's ops, of which at least one argument is a node."""
        inputs = tuple(map(_data, args))
        out = op.kernel(*inputs, **attrs)

        def back(g: Number) -> None:
            for i, operand in enumerate(args):
                if isinstance(operand, Value) and op.differentiable(i):
                    _send(operand, vjp(op, i, g, out, inputs, attrs, False))

        nodes = tuple(operand for operand in args if isinstance(operand, Value))
        return Value(out, nodes, back) if op.gives == FLOAT else out

    def plain(self) -> Number:
        """The number or the array."""
        return self.data

    decide = plain

    def backward(self) -> None:
        """Set `grad`, on this node and every node it depends on, to the gradient of this scalar node.

        Gradients left by an earlier call are overwritten, not added to.

        Raises
        ------
        ValueError
            If this node is not a scalar.
        """
        if self.shape:
            raise ValueError(
                f"backward() starts from a scalar, but this value has shape {self.shape}: "
                "reduce it to one number first, for example with .sum()"
            )
        order = _parents_first(self)
        for node in order:
            node.grad = 0.0
        self.grad = 1.0
        for node in reversed(order):
            if node.back is not None:
                node.back(node.grad)


def where(condition: Operand, a: Operand, b: Operand) -> Value:
    """``np.where`` on values: each side gets the gradient where it was chosen, and zero elsewhere."""
    chosen = _data(condition)

    def back(g: Number) -> None:
        if isinstance(a, Value):
            _send(a, np.where(chosen, g, 0.0))
        if isinstance(b, Value):
            _send(b, np.where(chosen, 0.0, g))

    prev = tuple(side for side in (a, b) if isinstance(side, Value))
    return Value(np.where(chosen, _data(a), _data(b)), prev, back)


_FUNCTIONS: Final[dict[Any, Callable[..., Any]]] = {
    np.sum: Value.sum,
    np.mean: Value.mean,
    np.where: where,
    np.dot: Value.__matmul__,
}


def _parents_first(root: Value) -> list[Value]:
    """Topological order of all that `root` depends on; a stack, since recursion fails on long chains."""
    order: list[Value] = []
    placed: set[Value] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node in placed:
            continue
        waiting = [parent for parent in node.prev if parent not in placed]
        if waiting:
            stack.append(node)
            stack.extend(waiting)
        else:
            placed.add(node)
            order.append(node)
    return order


def _map(function: Callable[[Any], Any], nest: Any) -> Any:
    if isinstance(nest, dict):
        return {key: _map(function, item) for key, item in nest.items()}
    if isinstance(nest, (list, tuple)):
        return type(nest)(_map(function, item) for item in nest)
    return function(nest)


def _gradient(leaf: Value) -> Number:
    # A copy: the gradient of a sum is a read-only view of one number, and that of an unused array is 0.0.
    return np.array(np.broadcast_to(leaf.grad, leaf.shape)) if leaf.shape else leaf.grad


def value_and_grad(f: Callable[..., Any], params: Any) -> tuple[float, Any]:
    """Value of `f` at `params`, and its gradient, by one pass over a graph built for this call.

    Parameters
    ----------
    f : callable
        Returns a scalar. A dict of parameters is passed as keyword arguments, anything else as one argument.
    params : float, array, or a nest of lists, tuples and dicts of them
        Where to evaluate.

    Returns
    -------
    value : float
    grad : same structure as `params`
        A float for each scalar, an array for each array; zero where `f` does not depend on the parameter.

    Raises
    ------
    ValueError
        If `f` returns something other than a scalar.

    Examples
    --------
    >>> value_and_grad(lambda mu, beta: mu * (beta**2).sum(), {"mu": 3.0, "beta": np.array([1.0, 2.0])})
    (15.0, {'mu': 5.0, 'beta': array([ 6., 12.])})
    """
    leaves = _map(Value, params)
    result = f(**leaves) if isinstance(leaves, dict) else f(leaves)
    if not isinstance(result, Value):
        result = Value(result)  # a constant, whose gradient is zero
    if result.shape:
        raise ValueError(f"f must return a scalar, got an array of shape {result.shape}: sum it, for example")
    result.backward()
    return result.data, _map(_gradient, leaves)
