"""Tests for your own models and ops: every derivative of a function against high-order differences.

The replay is compared with a plain call, and each derivative with differences of the one below it, at several
points. Where one disagrees, the tape is searched for the entry to blame: the first whose derivative rule
disagrees with differences of its own kernel, at the numbers that it meets there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.replay import evaluate
from tapegrad.derive import rules
from tapegrad.derive.pushforward import pushforward
from tapegrad.differences import kinked, slope, value_or_nan
from tapegrad.function.agreement import differing, sizes_of
from tapegrad.function.derived import GRADIENT
from tapegrad.function.inspection import number_text, operands_of, step_text
from tapegrad.function.record import plain_call
from tapegrad.function.trace import trace, trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.nest import Leaf, Vector
from tapegrad.ops.registry import FLOAT, Op
from tapegrad.ops.samples import draw, shapes_for
from tapegrad.tape.entries import Entry
from tapegrad.tape.storage import tape_from_json, tape_to_json
from tapegrad.tape.tape import Tape

__all__ = ["check_grads", "check_op"]

ELSEWHERE = 2
NAMED = 6


def check_grads(f: Callable[..., Any] | TracedFunction, params: Any, order: int = 3) -> None:
    """Check the value and the derivatives of a function, at `params` and at random points around them.

    Checked are the value (a replay against a plain call), gradient, jvp and vjp; from `order` 2 on the
    Hessian and hvp; at `order` 3 the third derivative. Of a function that does not return a scalar these are
    value, Jacobian, jvp and vjp. It takes about 50 evaluations per parameter, point and order.

    Parameters
    ----------
    f : callable or TracedFunction
        A function as `trace` takes it, or what `trace` made of one.
    params : structure or array_like, shape (p,)
        Where to check. The other points are up to a tenth away from it, and have the same signs.
    order : {1, 2, 3}
        The highest order of derivatives.

    Raises
    ------
    AssertionError
        If a derivative is wrong; the message names the quantity, the parameters, the difference, and the
        entry and line of your code whose rule is wrong. Likewise if the value is not finite or not that of a
        plain call, if it depends on earlier replays, or if differences settle nowhere where it jumps.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.testing import check_grads
    >>> x = np.array([1.2, -0.3, 2.2])
    >>> check_grads(lambda mu, s: -(((x - mu) / np.exp(s)) ** 2).sum() / 2 - 3 * s, dict(mu=0.5, s=0.1))
    """
    if order not in (1, 2, 3):
        raise ValueError(f"order must be 1, 2 or 3, not {order!r}")
    function = _Function(f if isinstance(f, TracedFunction) else trace(f, params))
    points = function.points(function.traced.ravel(params))
    values = [function.checked_value(x, function.plain(x), "by a plain call") for x in points]
    for quantity in _quantities(function, order):
        _check(function, quantity, points)
    for point, value in zip(points, values, strict=True):
        function.checked_value(point, value, "before replays elsewhere")


def check_op(op: Op, order: int = 3) -> None:
    """Check an elementwise op on the table of shapes that tapegrad's own ops are tested on.

    For numbers, arrays, and arrays that broadcast, drawn within the op's domain: the value on every backend
    against a plain call, derivatives up to `order` by `check_grads`, and a tape with it, stored and read.

    Parameters
    ----------
    op : Op
        Made by `tapegrad.ops.register`.
    order : {1, 2, 3}
        The highest order of derivatives.

    Raises
    ------
    ValueError
        If the op is none that has a domain.
    AssertionError
        If something is wrong; the message says what.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> softsign = tg.ops.register(
    ...     "softsign",
    ...     lambda x: x / (1.0 + np.abs(x)),
    ...     lambda out, x: (1.0 + np.abs(x)) ** -2,
    ...     domain=(0.1, 3.0),
    ... )
    >>> tg.testing.check_op(softsign)
    """
    if not op.domain:
        raise ValueError(f"{op!r} has no domain to be tried in")
    for seed, shapes in enumerate(shapes_for(len(op.domain))):
        args = draw(op.domain, shapes, seed, op.name)
        moving = [i for i in range(len(args)) if op.differentiable(i)]
        params = {f"x{i}": args[i] for i in moving}
        _check_values(op, args, params)
        if params and all(map(np.size, args)):
            check_grads(partial(_weighted, op, args), params, order)


def _check_values(op: Op, args: Sequence[Any], params: dict[str, Any]) -> None:
    """The value of an op on every backend, and of a tape that has been stored."""
    expected = np.asarray(op.kernel(*args))
    at = dict(params, more=0.0)  # a parameter without influence, so that there are some
    for backend in ("numpy", "replay", "c") if compiler() is not None else ("numpy", "replay"):
        traced = trace_quietly(partial(_of_op, op, args), at, backend=backend)
        found = traced(at)
        # A form in C may round otherwise.
        if not np.allclose(found, expected, rtol=1e-12 if op.c else 0.0, atol=0.0, equal_nan=True):
            raise AssertionError(f"{op.name} is {found} by {backend!r}, and {expected} by a plain call")
    stored = tape_from_json(json.loads(json.dumps(tape_to_json(traced.tape))))
    values = evaluate(stored, traced.ravel(at), {})
    if not np.array_equal(values[stored.outputs[0]], expected, equal_nan=True):
        raise AssertionError(f"{op.name} gives something else on a tape that has been stored")


def _of_op(op: Op, args: Sequence[Any], **params: Any) -> Any:
    return op(*[params.get(f"x{i}", x) for i, x in enumerate(args)])


def _weighted(op: Op, args: Sequence[Any], **params: Any) -> Any:
    """A number that depends on every element of an op's output in another way."""
    out = _of_op(op, args, **params)
    return (out * np.linspace(0.6, 1.7, out.size).reshape(out.shape)).sum()


class _Function:
    """A traced function, as one between flat vectors."""

    def __init__(self, traced: TracedFunction) -> None:
        self.traced = traced
        self.name = traced.tape.name
        self.names = traced.names
        self.is_scalar = isinstance(traced.outputs.root, Leaf) and traced.outputs.root.shape == ()
        self._router = traced._router

    def value(self, x: Vector) -> Vector:
        return self.traced.outputs.ravel(self.traced(x))

    def plain(self, x: Vector) -> Vector:
        value = plain_call(self._router._f, self.traced.structure, x, self._router.data)
        return self.traced.outputs.ravel(value)

    def place(self, x: Vector) -> str:
        shown = [f"{name} = {number:.6g}" for name, number in zip(self.names, x, strict=True)][:NAMED]
        return "at " + ", ".join(shown) + ", ..." * (len(self.names) > NAMED)

    def points(self, start: Vector) -> list[Vector]:
        """`start`, and points around it where the function is finite, too."""
        if not np.isfinite(self.plain(start)).all():
            raise AssertionError(f"not finite {self.place(start)}: {self.traced.explain(start)}")
        rng = np.random.default_rng(1)
        points = [start]
        for _ in range(ELSEWHERE):
            move = 0.1 * rng.uniform(-1.0, 1.0, start.size) * _sizes(start)
            while not np.isfinite(value_or_nan(self.plain, start + move, 1)).all():
                move = 0.5 * move
            points.append(start + move)
        return points

    def checked_value(self, x: Vector, expected: Vector, told: str) -> Vector:
        """The value by replay, which has to be what was found before."""
        value, names = self.value(x), self.traced.outputs.names
        i = differing([*value], [*expected], lambda: [*self.sizes(x)])
        if i is not None:
            raise AssertionError(
                f"{names[i]} of {self.name} is {value[i]:.10g} by replay and {expected[i]:.10g} "
                f"{told}, {self.place(x)}: does the function keep a state?"
            )
        return value

    def sizes(self, x: Vector) -> Vector:
        path = self._router.path_at(x)
        return self.traced.outputs.join(sizes_of(path.tape_at(x), x, path.data.values()))

    def jacobian(self, x: Vector) -> Any:
        """Outputs' elements by parameters'; of a scalar it is the gradient, which is computed otherwise."""
        if self.is_scalar:
            return self.traced.structure.ravel(self.traced.grad(x))[None]
        return self.traced.jacobian_flat(x)

    def size(self, x: Vector, order: int) -> Any:
        """Sizes of derivatives below `order`, for a function that bends once over each parameter's size.

        They are sums of such terms, and may cancel.
        """
        if order == 1:
            return 0.0
        value, gradient = self.traced.value_and_grad_flat(x)
        sizes = _sizes(x)
        slopes = max(abs(value), np.abs(gradient * sizes).max()) / sizes
        return slopes if order == 2 else np.divide.outer(slopes, sizes).ravel()

    def tapes(self, x: Vector, order: int) -> Iterator[tuple[Tape, list[Any]]]:
        """The tapes behind the derivatives up to `order`, with the value of every slot."""
        path = self._router.path_at(x)
        direction = np.random.default_rng(2).uniform(-1.0, 1.0, x.size)
        tape = path.tape_at(x)
        yield tape, evaluate(tape, x, path.data)
        if order > 1:
            tape = path.tapes[GRADIENT]
            yield tape, evaluate(tape, x, path.data)
        if order > 2:
            tape = pushforward(path.tapes[GRADIENT])
            yield tape, evaluate(tape, np.concatenate([x, direction]), path.data)


def _sizes(x: Any) -> Any:
    """How far a step of 1 goes in each element."""
    return np.where(np.equal(x, 0.0), 1.0, np.abs(x))


# What is checked --------------------------------------------------------------------------------------------


class _Quantity(NamedTuple):
    """A derivative by its name, and the function that computes it along directions, one row for each."""

    name: str
    order: int
    differenced: Callable[[Vector], Vector]
    along: Callable[[Vector, Vector], Any]
    elements: Sequence[str]
    by_parameter: bool


def _quantities(function: _Function, order: int) -> Iterator[_Quantity]:
    traced, plain = function.traced, function.plain
    inside, outside = traced.structure.ravel, traced.outputs.ravel
    results = [""] if function.is_scalar else [f" of {name}" for name in traced.outputs.names]
    weights = np.random.default_rng(3).uniform(0.5, 1.5, traced.outputs.size)

    def weighted(x: Vector) -> Vector:
        return np.array([weights @ plain(x)])

    slope_name = "gradient" if function.is_scalar else "Jacobian"
    yield _Quantity(slope_name, 1, plain, _of_matrix(function.jacobian), results, True)
    jvp = _of_product(lambda x, d: outside(traced.jvp(x, d)))
    yield _Quantity("jvp", 1, plain, jvp, results, False)
    vjp = _of_matrix(lambda x: inside(traced.vjp(x, weights))[None])
    yield _Quantity("vjp", 1, weighted, vjp, [""], False)
    if function.is_scalar:
        yield from _of_higher_order(traced, order)


def _of_higher_order(traced: TracedFunction, order: int) -> Iterator[_Quantity]:
    inside, names = traced.structure.ravel, traced.names

    def gradient(x: Vector) -> Vector:
        return traced.value_and_grad_flat(x)[1]

    def hessian(x: Vector) -> Vector:
        flat: Vector = traced.hessian(x).ravel()
        return flat

    if order > 1:
        columns = [f" and {name}" for name in names]
        yield _Quantity("Hessian", 2, gradient, _of_matrix(traced.hessian), columns, True)
        hvp = _of_product(lambda x, d: inside(traced.hvp(x, d)))
        yield _Quantity("hvp", 2, gradient, hvp, [f" in {name}" for name in names], False)
    if order > 2:
        pairs = [f" for {row} and {column}" for row in names for column in names]
        third = _of_product(lambda x, d: traced.third(x, d).ravel())
        yield _Quantity("third derivative", 3, hessian, third, pairs, False)


def _of_matrix(matrix: Callable[[Vector], Any]) -> Callable[[Vector, Vector], Any]:
    return lambda x, directions: directions @ matrix(x).T


def _of_product(product: Callable[[Vector, Vector], Any]) -> Callable[[Vector, Vector], Any]:
    return lambda x, directions: np.array([product(x, direction) for direction in directions])


def _check(function: _Function, quantity: _Quantity, points: list[Vector]) -> None:
    """Compare a derivative with differences, one direction after the other."""
    if quantity.by_parameter:
        labels = [f" with respect to {name}" for name in function.names]
    else:
        labels = [" along a random direction"]
    settled = np.zeros((len(labels), len(quantity.elements)), dtype=bool)
    for point in points:
        if quantity.by_parameter:
            directions = np.diag(_sizes(point))
        else:
            directions = np.random.default_rng(4).uniform(-1.0, 1.0, (1, point.size)) * _sizes(point)
        for k, found in enumerate(quantity.along(point, directions)):
            expected = slope(quantity.differenced, point, directions[k], function.size(point, quantity.order))
            wrong = expected.wrong(found)
            if wrong.any():
                wrong &= ~kinked(quantity.differenced, point, directions[k])
            if wrong.any():
                i = int(wrong.argmax())
                scale = np.abs(directions[k]).max() if quantity.by_parameter else 1.0
                what = f"the {quantity.name} of {function.name}{labels[k]}{quantity.elements[i]}"
                _fail(function, quantity, point, what, found[i] / scale, expected.value[i] / scale)
            settled[k] |= expected.settled
    if not settled.all():
        k, i = np.argwhere(~settled)[0]
        raise AssertionError(
            f"the {quantity.name} of {function.name}{labels[k]}{quantity.elements[i]} cannot be checked: "
            f"its differences settle nowhere {function.place(points[0])}. Does the function jump there?"
        )


def _fail(
    function: _Function, quantity: _Quantity, point: Vector, what: str, found: float, expected: float
) -> NoReturn:
    raise AssertionError(
        f"{what} is {found:.10g}, and {expected:.10g} by differences: off by {abs(found - expected):.3g}, "
        f"{function.place(point)}\n{_blame(function, point, quantity.order)}"
    )


# Whom to blame ----------------------------------------------------------------------------------------------


def _blame(function: _Function, x: Vector, order: int) -> str:
    """In words, the first entry whose rule is wrong at `x`."""
    for tape, values in function.tapes(x, order):
        for entry in tape.entries:
            if tape.avals[entry.output].dtype == FLOAT:
                complaint = _complaint(tape, entry, values)
                if complaint:
                    numbers = [
                        f"\n    {name} = {number_text(v)}" for name, v in operands_of(tape, values, entry)
                    ]
                    return f"wrong is the rule of {step_text(tape, entry)}: {complaint}{''.join(numbers)}"
    return (
        "the rule of every entry is right by itself: they are put together wrongly, which is tapegrad's fault"
    )


def _complaint(tape: Tape, entry: Entry, values: list[Any]) -> str:
    """The error of the derivative rule of an entry, for one random tangent and one random cotangent."""
    op, attrs = entry.op, dict(entry.attrs)
    inputs, out = tuple([_ieee(values[slot]) for slot in entry.inputs]), _ieee(values[entry.output])
    rng = np.random.default_rng(5)
    moving = [
        i
        for i, slot in enumerate(entry.inputs)
        if op.differentiable(i) and tape.avals[slot].dtype == FLOAT and np.size(inputs[i])
    ]
    if not moving:
        return ""
    tangents: list[Any] = [None] * len(inputs)
    for i in moving:
        tangents[i] = rng.uniform(-1.0, 1.0, np.shape(inputs[i])) * _sizes(inputs[i])

    def kernel(h: Any) -> Vector:
        moved = [x if t is None else x + h[0] * t for x, t in zip(inputs, tangents, strict=True)]
        return np.ravel(op.kernel(*moved, **attrs))

    with np.errstate(all="ignore"):
        expected = slope(kernel, np.zeros(1), np.ones(1))
        pushed = rules.jvp(op, tuple(tangents), out, inputs, attrs)
        wrong = expected.wrong(np.ravel(pushed))
        ct = rng.uniform(0.5, 1.5, np.shape(out))
        pulled = [np.sum(rules.vjp(op, i, ct, out, inputs, attrs, False) * tangents[i]) for i in moving]
        if wrong.any():
            wrong &= ~kinked(kernel, np.zeros(1), np.ones(1))
    if wrong.any():
        i = int(wrong.argmax())
        return f"its jvp is {np.ravel(pushed)[i]:.6g} where its kernel changes by {expected.value[i]:.6g}"
    there, back = float(np.sum(ct * pushed)), float(np.sum(pulled))
    if not np.isclose(there, back, rtol=1e-8, atol=1e-10 * np.sum(np.abs(ct * pushed)), equal_nan=True):
        return f"its vjp gives {back:.6g} where its jvp gives {there:.6g}"
    return ""


def _ieee(value: Any) -> Any:
    # Python's floats raise where IEEE arithmetic gives infinity or NaN.
    return np.float64(value) if type(value) is float else value
