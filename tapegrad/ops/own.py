"""Ops of a user's own: a function, its derivatives, and a name, without a change to this package."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import numpy as np

from tapegrad.errors import TraceError
from tapegrad.ops.registry import NUMPY, OPS, Op, Recordable, elementwise, written
from tapegrad.ops.samples import draw

Function = Callable[..., Any]
# What tells whether a name is given to the same definition again, as when a cell of a notebook is run again.
_definitions: dict[str, tuple[Any, ...]] = {}


def register(
    name: str,
    function: Function,
    *derivatives: Function | float | None,
    domain: tuple[float, float] | Sequence[tuple[float, float]] = (-2.0, 2.0),
    c: str = "",
    stands_for: np.ufunc | None = None,
) -> Op:
    """Register an elementwise op of your own, for functions that tapegrad cannot trace or not well.

    What it returns is called in place of the function: with plain numbers and arrays it computes, in a traced
    function it is one entry. Derivatives of all orders follow from those given. It runs on every backend; the
    compiled one calls back to NumPy unless there is a form in C. Stored tapes have it by its name, so
    register it before you load them.

    Parameters
    ----------
    name : str
        As it stands in listings and stored tapes: an identifier.
    function : callable
        ``function(*inputs) -> array``, elementwise: it broadcasts like a ufunc, or is one. It gets float64
        numbers and arrays, and never traced values, so anything may stand in it.
    *derivatives : callable, float or None
        One for each input: ``derivative(out, *inputs)``, where `out` is what the function gave. They are
        traced themselves: write them with operators, ufuncs of NumPy and `scipy.special`, `np.where`, or ops.
        A number is a constant derivative. None says that there is none, as for an order that is a whole
        number.
    domain : (float, float), or one such pair for each input
        Where the function can be called: the registration tries it there, and so does
        `tapegrad.testing.check_op`.
    c : str
        The function as an expression in C, with ``{0}``, ``{1}`` and so on for the inputs, which are doubles.
    stands_for : ufunc, optional
        Of NumPy or SciPy: it then means this op in traced functions.

    Returns
    -------
    Op
        The same again if the name is registered with the same definition, so that a cell of a notebook can be
        run again.

    Raises
    ------
    ValueError
        If the name is no identifier or taken, if there are not as many derivatives as inputs, if something
        has another shape than that of the inputs, or is not finite within the domain.
    TypeError
        If what should be a function is none.

    Examples
    --------
    Langevin's function ``coth(x) - 1 / x``, whose derivative is ``1 - out**2 - 2 * out / x``:

    >>> import numpy as np, tapegrad as tg
    >>> langevin = tg.ops.register(
    ...     "langevin",
    ...     lambda x: 1.0 / np.tanh(x) - 1.0 / x,
    ...     lambda out, x: 1.0 - out**2 - 2.0 * out / x,
    ...     domain=(0.5, 4.0),
    ... )
    >>> traced = tg.trace(lambda a: langevin(a * np.array([1.0, 2.0])).sum(), dict(a=1.0))
    >>> print(traced)
    tape f(a) -> scalar    3 ops, 0 guards, 1 parameter
    [0]  mul       a, const[2]  -> %2  (2,)  ...
    [1]  langevin  %2           -> %3  (2,)  ...
    [2]  sum       %3, axis=0   -> %4  scalar  ...
    >>> round(traced.grad(a=1.0)["a"], 6), traced.hessian(a=1.0).round(6)
    (0.623895, array([[-0.467694]]))
    """
    _check_arguments(name, function, derivatives, c, stands_for)
    ranges: Any = domain if isinstance(domain[0], tuple | list) else [domain] * len(derivatives)
    bounds = tuple([(float(low), float(high)) for low, high in ranges])
    definition = (*map(_meaning, (function, *derivatives)), bounds, c, stands_for)
    if name in _definitions and _definitions[name] == definition:
        return OPS[name]
    if name in OPS:
        whose = "an op of yours with another definition" if name in _definitions else "an op of tapegrad"
        raise ValueError(f"{name!r} is {whose}: choose another name, by which stored tapes will know it")
    if stands_for in NUMPY:
        raise ValueError(f"{stands_for.__name__} has a rule already: call the op by itself")
    if len(bounds) != len(derivatives):
        raise ValueError(f"{name!r} has {len(derivatives)} inputs, and the domain is of {len(bounds)}")
    partials = [_partial(name, i, derivative) for i, derivative in enumerate(derivatives)]
    kernel = _kernel(name, function)
    _try(name, kernel, partials, bounds)
    op = elementwise(
        name,
        kernel,
        *partials,
        domain=bounds,
        c=c,
        numpy=() if stands_for is None else (stands_for,),
        own=True,
    )
    _definitions[name] = definition
    return op


def _check_arguments(name: Any, function: Any, derivatives: Sequence[Any], c: Any, stands_for: Any) -> None:
    if not (isinstance(name, str) and name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
        raise ValueError(f"the name of an op is an identifier in ASCII, such as 'langevin', not {name!r}")
    if not callable(function):
        raise TypeError(f"{name!r} needs a function, not {function!r:.60}")
    for derivative in derivatives:
        if not (derivative is None or callable(derivative) or isinstance(derivative, int | float)):
            raise TypeError(
                f"a derivative of {name!r} is a function, a number or None, not {derivative!r:.60}"
            )
    count = _inputs_of(function)
    if not derivatives or (count is not None and count != len(derivatives)):
        takes = "some inputs" if count is None else f"{count} input{'s' * (count != 1)}"
        raise ValueError(
            f"{name!r} takes {takes}, and {len(derivatives)} derivatives are given: give one for each, "
            "or None where there is none"
        )
    if c and not all(f"{{{i}}}" in c for i in range(len(derivatives))):
        raise ValueError(f"the form in C has no place for each input: {{0}}, {{1}} and so on, not {c!r:.80}")
    if stands_for is not None and not isinstance(stands_for, np.ufunc):
        raise TypeError("only ufuncs tell what they are called with: call the op in place of other functions")


def _inputs_of(function: Function) -> int | None:
    """How many inputs a function takes, None where it does not say."""
    if isinstance(function, np.ufunc):
        return function.nin
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return len([p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD])


def _kernel(name: str, function: Function) -> Function:
    """A function as a kernel, with NumPy's meaning of `out`."""
    if isinstance(function, np.ufunc):
        return function

    def kernel(*inputs: Any, out: Any = None) -> Any:
        value = np.asarray(function(*inputs), dtype=np.float64)
        shape = np.broadcast_shapes(*map(np.shape, inputs))
        if value.shape != shape:
            raise ValueError(
                f"{name} gives shape {value.shape} of inputs that broadcast to {shape}: an op of your own is "
                "elementwise"
            )
        return written(value, out)

    return kernel


def _partial(name: str, index: int, derivative: Function | float | None) -> Any:
    """A derivative as a rule, which meets symbols as well as numbers."""
    if not callable(derivative):
        return None if derivative is None else float(derivative)

    def partial(*operands: Any) -> Any:
        lent = [Lent(x, name) if isinstance(x, Recordable) else x for x in operands]
        found = _taken(derivative(*lent))
        shape = np.broadcast_shapes(*map(_shape, operands))
        if not _fits(_shape(found), shape):
            raise ValueError(
                f"the derivative of {name} in input {index} has shape {_shape(found)} where the inputs "
                f"broadcast to {shape}: it is elementwise, too"
            )
        return found

    return partial


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    """Whether an array broadcasts to a shape."""
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def _shape(operand: Any) -> tuple[int, ...]:
    return operand.shape if isinstance(operand, Recordable) else np.shape(operand)  # type: ignore[attr-defined]


def _try(name: str, kernel: Function, partials: Sequence[Any], domain: Any) -> None:
    """Call everything once, with numbers and with arrays of different shapes."""
    count = len(partials)
    for shapes in ([()] * count, [(3,)] + [(2, 1)] * (count - 1)):
        inputs = draw(domain, shapes, 1, name)
        out = kernel(*inputs)
        for what, found in [(name, out)] + [
            (f"the derivative of {name} in input {i}", partial(out, *inputs))
            for i, partial in enumerate(partials)
            if callable(partial)
        ]:
            if not np.isfinite(found).all():
                at = ", ".join(f"{np.ravel(x)[0]:.6g}" for x in inputs)
                raise ValueError(f"{what} is not finite near {at}: say where it can be called with domain=")


def _meaning(value: Any) -> Any:
    """What two definitions have in common if they are written alike."""
    code = getattr(value, "__code__", None)
    if code is None:
        return value
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    return (_code(code), value.__defaults__, [*map(id, cells)])


def _code(code: CodeType) -> Any:
    constants = [_code(one) if isinstance(one, CodeType) else (type(one), one) for one in code.co_consts]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars


# Symbols for people's code ----------------------------------------------------------------------------------


class Lent(np.lib.mixins.NDArrayOperatorsMixin, Recordable):
    """A symbol for a derivative that is written with NumPy: operators and functions become ops."""

    __slots__ = ("_name", "_symbol")

    def __init__(self, symbol: Any, name: str) -> None:
        self._symbol = symbol
        self._name = name

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return _shape(self._symbol)

    @property
    def ndim(self) -> int:
        """As of an array."""
        return len(self.shape)

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Record `op`."""
        return self._given(op, args, attrs)

    def decide(self) -> Any:
        """There is nothing to decide on."""
        return self._symbol.decide()

    def __bool__(self) -> bool:
        return bool(self.decide())

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise self._refused("a function that asks for plain numbers")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """A ufunc of NumPy or SciPy."""
        rule = NUMPY.get(ufunc) if method == "__call__" and not options else None
        if rule is None:
            raise self._refused(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}")
        return self._given(rule, inputs, {})

    def __array_function__(self, function: Function, types: Any, args: Any, options: Any) -> Any:
        """A function of NumPy."""
        rule = NUMPY.get(function)
        if rule is None:
            raise self._refused(getattr(function, "__name__", "a function"))
        return self._given(rule, args, options)

    def _given(self, rule: Function, args: Sequence[Any], options: dict[str, Any]) -> Any:
        return Lent(rule(*map(_taken, args), **options), self._name)

    def _refused(self, what: str) -> TraceError:
        return TraceError(
            f"the derivative of the op {self._name} uses {what}, which cannot be traced: write it with "
            "operators and ufuncs, or register another op for it"
        )


def _taken(operand: Any) -> Any:
    return operand._symbol if isinstance(operand, Lent) else operand
