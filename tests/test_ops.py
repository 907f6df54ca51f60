"""Every op in every way: one table over the registry and each op's own samples.

An op that is added to the registry is tested here without a line being written.
"""

from __future__ import annotations

import itertools
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.differentiate import derivative

import tapegrad as tg
from tapegrad.backends.replay import adjoints, evaluate
from tapegrad.derive import rules
from tapegrad.derive.sparsity import jacobian_pattern
from tapegrad.ops import NUMPY, OPS
from tapegrad.ops.registry import BOOL, FLOAT, Aval, Op
from tapegrad.ops.samples import draw, shapes_for
from tapegrad.passes import tidy
from tests.conftest import TINY


class Sample(NamedTuple):
    op: Op
    args: tuple[Any, ...]
    attrs: dict[str, Any]


def _draw(op: Op, shapes: tuple[tuple[int, ...], ...], seed: int) -> tuple[Any, ...]:
    drawn = draw(op.domain, shapes, seed, op.name)
    middles = [(low + high) / 2.0 for low, high in op.domain]
    is_truth = [op.takes_at(i) == BOOL for i in range(len(drawn))]
    return tuple(x < m if truth else x for x, m, truth in zip(drawn, middles, is_truth, strict=True))


def _samples(seed: int) -> list[Any]:
    found = []
    for op in OPS.values():
        if op.domain:
            cases = [(_draw(op, shapes, seed), {}) for shapes in shapes_for(len(op.domain))]
        else:
            cases = list(op.samples)
        for k, (args, attrs) in enumerate(cases):
            found.append(pytest.param(Sample(op, args, attrs), id=f"{op.name}-{k}"))
    return found


SAMPLES = _samples(1)
DIFFERENTIABLE = [s for s in SAMPLES if s.values[0].op.rule is not None]
ELEMENTWISE = [pytest.param(op, id=op.name) for op in OPS.values() if op.domain]


def test_every_op_has_samples():
    assert not [op.name for op in OPS.values() if not op.domain and not op.samples]


def _is_free(op: Op, i: int) -> bool:
    """Whether input `i` is a real variable of the op, rather than a mask, an index or an order."""
    return op.takes_at(i) in (FLOAT, None) and (op.rule is None or op.differentiable(i))


class Program:
    """A sample as a function of its float inputs, which are the parameters, weighted to a scalar."""

    def __init__(self, sample: Sample, masks: bool = False) -> None:
        self.sample = sample
        self.free = [
            i
            for i, arg in enumerate(sample.args)
            if (_is_free(sample.op, i) and np.asarray(arg).dtype == FLOAT)
            or (masks and np.asarray(arg).dtype == BOOL)
        ]
        self.params = [np.array(sample.args[i], dtype=float) for i in self.free]
        out = np.asarray(sample.op.kernel(*sample.args, **sample.attrs))
        self.weights = np.linspace(0.6, 1.7, out.size).reshape(out.shape)

    def merged(self, theta: list[Any]) -> list[Any]:
        args = list(self.sample.args)
        for i, value in zip(self.free, theta, strict=True):
            args[i] = value > 0.5 if np.asarray(args[i]).dtype == BOOL else value
        return args

    def op(self, theta: list[Any]) -> Any:
        return self.sample.op(*self.merged(theta), **self.sample.attrs)

    def scalar(self, theta: list[Any]) -> Any:
        return (self.op(theta) * self.weights).sum()

    def elsewhere(self) -> list[Any]:
        """Other parameters of the same shapes, inside the op's domain."""
        op = self.sample.op
        if op.domain:
            drawn = _draw(op, tuple(np.shape(a) for a in self.sample.args), 2)
            return [drawn[i] for i in self.free]
        return [0.9 * value + 0.03 * np.arange(value.size).reshape(value.shape) for value in self.params]

    def trace(self, backend: str = "numpy") -> tg.TracedFunction:
        return tg.trace(self.scalar, self.params, backend=backend)


def _traceable(program: Program) -> bool:
    return sum(value.size for value in program.params) > 0


def _flat(parts: Any) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
@pytest.mark.parametrize("sample", SAMPLES)
def test_value_traced_and_replayed(sample, backend):
    program = Program(sample, masks=True)
    # One more parameter, unused, lets samples without elements through.
    tape = tg.trace(lambda theta: program.op(theta[:-1]), [*program.params, 0.0], backend=backend)
    tg.verify(tape.tape)
    tg.verify(tidy(tape.tape))
    for theta in (program.params, program.elsewhere()):
        expected = sample.op.kernel(*program.merged(theta), **sample.attrs)
        # An array over a scalar is run as times its reciprocal, which is rounded once more.
        tolerance = 3e-16 if sample.op.name == "div" else 0.0
        np.testing.assert_allclose(tape([*theta, 0.0]), expected, rtol=tolerance, atol=0.0)


@pytest.mark.parametrize("sample", SAMPLES)
def test_value_is_that_of_numpy(sample):
    functions = [f for f in sample.op.numpy if not sample.attrs]
    if not functions:
        pytest.skip("stands for no NumPy function by itself")
    for function in functions:
        expected = function(*sample.args)
        np.testing.assert_allclose(sample.op.kernel(*sample.args), expected, rtol=1e-14)
        assert NUMPY[function] is not None


@pytest.mark.parametrize("sample", SAMPLES)
def test_kernel_writes_out_and_leaves_inputs_alone(sample):
    before = [np.array(arg) for arg in sample.args]
    frozen = [np.array(arg) for arg in sample.args]
    for array in frozen:
        array.flags.writeable = False
    value = np.asarray(sample.op.kernel(*frozen, **sample.attrs))
    out = np.empty_like(value)
    sample.op.kernel(*frozen, out=out, **sample.attrs)
    np.testing.assert_array_equal(out, value)
    for array, kept in zip(frozen, before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize("sample", SAMPLES)
def test_aval_is_that_of_the_value(sample):
    inputs = [np.asarray(arg) for arg in sample.args]
    aval = sample.op.aval([Aval(a.shape, a.dtype) for a in inputs], sample.attrs)
    value = np.asarray(sample.op.kernel(*sample.args, **sample.attrs))
    assert aval == (value.shape, value.dtype)


@pytest.mark.parametrize("sample", DIFFERENTIABLE)
def test_jvp_against_vjp(sample):
    op, args, attrs = sample
    rng = np.random.default_rng(3)
    out = op.kernel(*args, **attrs)
    tangents = tuple(
        rng.normal(size=np.shape(arg)) if op.differentiable(i) and np.asarray(arg).dtype == FLOAT else None
        for i, arg in enumerate(args)
    )
    if all(t is None for t in tangents):
        pytest.skip("no float input")
    ct = rng.normal(size=np.shape(out))
    pushed = rules.jvp(op, tangents, out, args, attrs)
    assert np.shape(pushed) == np.shape(out)
    pulled = 0.0
    for i, t in enumerate(tangents):
        if t is not None:
            for gated in (False, True):
                back = rules.vjp(op, i, ct, out, args, attrs, gated)
                assert np.shape(back) == np.shape(args[i])
            pulled += np.sum(back * t)
    np.testing.assert_allclose(np.sum(ct * pushed), pulled, rtol=1e-10, atol=1e-12)


def _along(program: Program, f: Any, theta: list[Any], direction: list[Any]) -> float:
    """The derivative of `f` along `direction`, by SciPy's high-order differences."""

    def moved(h: Any) -> Any:
        return np.array(
            [f([x + step * d for x, d in zip(theta, direction, strict=True)]) for step in np.ravel(h)]
        ).reshape(np.shape(h))

    found = derivative(
        moved, 0.0, initial_step=2e-3, order=8, maxiter=4, tolerances=dict(rtol=1e-10, atol=1e-10)
    )
    return float(found.df)


def _direction(theta: list[Any]) -> list[Any]:
    rng = np.random.default_rng(4)
    return [rng.uniform(-1.0, 1.0, np.shape(value)) for value in theta]


@pytest.mark.parametrize("sample", DIFFERENTIABLE)
def test_gradient_against_differences(sample):
    program = Program(sample)
    if not _traceable(program):
        pytest.skip("nothing to differentiate")
    tape = program.trace()
    for theta in (program.params, program.elsewhere()):
        direction = _direction(theta)
        expected = _along(program, program.scalar, theta, direction)
        found = _flat(tape.grad(theta)) @ _flat(direction)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


# The Hessians of these take seconds; the other sample of the op takes part.
LONG = [
    pytest.param(*s.values, id=s.id, marks=[pytest.mark.slow] * (s.id == "hyp2f1_slope-1"))
    for s in DIFFERENTIABLE
]


@pytest.mark.parametrize("sample", LONG)
def test_hessian_against_differences_of_the_gradient(sample):
    """On one backend; each other one has the same gradient, tested below, and the same Hessian."""
    program = Program(sample)
    if not _traceable(program):
        pytest.skip("nothing to differentiate")
    tape = program.trace()
    theta = program.elsewhere()
    direction, left = _direction(theta), _flat(_direction(theta))[::-1]
    expected = _along(program, lambda t: _flat(tape.grad(t)) @ left, theta, direction)
    hessian = tape.hessian(theta)
    np.testing.assert_allclose(left @ hessian @ _flat(direction), expected, rtol=1e-6, atol=1e-8)
    for backend in ("replay", TINY):
        found = program.trace(backend).hessian(theta)
        np.testing.assert_allclose(found, hessian, rtol=1e-11, atol=1e-13 * np.abs(hessian).max())


@pytest.mark.parametrize("sample", DIFFERENTIABLE)
def test_recorded_gradient_equals_the_numeric_sweep(sample):
    program = Program(sample)
    if not _traceable(program):
        pytest.skip("nothing to differentiate")
    tapes = [program.trace(backend) for backend in ("numpy", "replay", TINY)]
    tape = tapes[0].tape
    tg.verify(tapes[0].grad_tape)
    for theta in (program.params, program.elsewhere()):
        vector = tapes[0].ravel(theta)
        swept = adjoints(tape, evaluate(tape, vector, {}))
        expected = _flat(swept.get(s, np.zeros(tape.avals[s].shape)) for s in tape.parameters)
        for traced in tapes:
            np.testing.assert_allclose(
                traced.value_and_grad_flat(vector)[1], expected, rtol=1e-12, atol=1e-14
            )


# The same derivatives in other ways -------------------------------------------------------------------------


def _vector_valued(program: Program) -> tg.TracedFunction:
    if not _traceable(program):
        pytest.skip("nothing to differentiate")
    return tg.trace(program.op, program.params)


def _by_columns(tape: tg.TracedFunction, theta: Any) -> np.ndarray:
    vector = tape.ravel(theta)
    return np.array([np.ravel(tape.jvp(vector, v)) for v in np.eye(vector.size)]).T


@pytest.mark.parametrize("sample", DIFFERENTIABLE)
def test_jacobian_by_columns_equals_that_by_rows_and_its_pattern_covers_it(sample):
    program = Program(sample)
    tape = _vector_valued(program)
    pattern = jacobian_pattern(tidy(tape.tape)).toarray()
    for theta in (program.params, program.elsewhere()):
        by_columns = _by_columns(tape, theta)
        rows = [_flat(tape.vjp(theta, w)) for w in np.eye(program.weights.size)]
        by_rows = np.array(rows).reshape(by_columns.shape)
        np.testing.assert_allclose(by_columns, by_rows, rtol=1e-12, atol=1e-13)
        assert not (by_columns[~pattern] != 0.0).any()


@pytest.mark.parametrize("sample", [s for s in DIFFERENTIABLE if s.values[0].op.links is not None])
def test_links_hold_nothing_that_is_always_zero(sample):
    program = Program(sample)
    shapes = [np.shape(arg) for arg in sample.args]
    values = [None if i in program.free else arg for i, arg in enumerate(sample.args)]
    if any(sample.op.links(i, shapes, values, **sample.attrs) is None for i in program.free):
        pytest.skip("the links are not followed")
    tape = _vector_valued(program)
    pattern = jacobian_pattern(tidy(tape.tape)).toarray()
    met = np.zeros_like(pattern)
    rng = np.random.default_rng(6)
    for _ in range(200):  # which element is the largest differs from point to point
        met |= _by_columns(tape, rng.normal(size=pattern.shape[1])) != 0.0
        if met.sum() == pattern.sum():
            break
    np.testing.assert_array_equal(met, pattern)


SPECIAL_VALUES = (0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan)


@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")
@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
@pytest.mark.parametrize("op", ELEMENTWISE)
def test_special_values_and_ties(op):
    arity = len(op.domain)
    grid = np.array(list(itertools.product(SPECIAL_VALUES, repeat=arity))).T
    args = [row > 0.5 if op.takes_at(i) == BOOL else row for i, row in enumerate(grid)]
    with np.errstate(all="ignore"):
        expected = op.kernel(*args)
    free = [i for i in range(arity) if _is_free(op, i)]
    if not free:
        return

    def f(theta: list[Any]) -> Any:
        merged = list(args)
        for i, value in zip(free, theta, strict=True):
            merged[i] = value
        return op(*merged)

    start = [np.linspace(*op.domain[i], grid.shape[1]) for i in free]
    there = [grid[i] for i in free]
    np.testing.assert_array_equal(tg.trace(f, start)(there), expected)
    if op.rule is None:
        return
    total = tg.trace(lambda theta: f(theta).sum(), start)
    vector = total.ravel(there)
    swept = adjoints(total.tape, evaluate(total.tape, vector, {}))
    expected = _flat(swept[slot] for slot in total.tape.parameters)
    np.testing.assert_allclose(total.value_and_grad_flat(vector)[1], expected, rtol=1e-12)


@pytest.mark.parametrize("op", [pytest.param(op, id=op.name) for op in OPS.values() if op.scalar])
def test_the_cheap_scalar_way_gives_the_same_bits(op):
    rng = np.random.default_rng(5)
    arity = len(op.domain) or 2
    points = [*itertools.product(SPECIAL_VALUES, repeat=arity), *rng.normal(size=(200, arity)).tolist()]
    for point in points:
        try:
            cheap = op.scalar(*point)
        except (ArithmeticError, ValueError):
            continue  # the replay then takes the kernel
        with np.errstate(all="ignore"):
            expected = np.asarray(op.kernel(*map(np.float64, point)))
        assert np.array_equal(np.asarray(cheap), expected, equal_nan=expected.dtype == FLOAT), point


@pytest.mark.parametrize("op", [pytest.param(op, id=op.name) for op in OPS.values()])
def test_ops_pickle_by_name(op):
    assert pickle.loads(pickle.dumps(op)) is op
    assert repr(op) == f"<op {op.name}>"
