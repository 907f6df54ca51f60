"""Row loops in C: at the ends of chunks and blocks, in threads, with gathers, guards and late directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.c.runtime import WIDTH
from tapegrad.backends.c.text import literal
from tapegrad.function.derived import derived
from tapegrad.plan.stages import BLOCK

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler was found")
RNG = np.random.default_rng(11)


def both(f: Any, theta: Any, **options: Any) -> tuple[tg.TracedFunction, tg.TracedFunction]:
    """A function through C and through the reference, which both walk over all rows."""
    options["sufficient_statistics"] = False
    c = tg.trace(f, theta, backend="c", **options)
    return c, tg.trace(f, theta, backend="replay", sufficient_statistics=False)


def agree(f: Any, theta: Any, tolerance: float = 1e-13, **options: Any) -> tg.TracedFunction:
    """Compare value, gradient, products with the Hessian, and the Hessian."""
    c, reference = both(f, theta, **options)
    for shift in (0.0, 0.03):
        point = c.ravel(theta) + shift
        value, gradient = c.value_and_grad_flat(point)
        expected, slope = reference.value_and_grad_flat(point)
        assert value == pytest.approx(expected, rel=tolerance)
        size = np.max(np.abs(slope))
        np.testing.assert_allclose(gradient, slope, rtol=tolerance, atol=tolerance * size)
        direction = np.linspace(-1.0, 2.0, point.size)
        hessian = reference.hessian_flat(point)
        size = np.max(np.abs(hessian))
        np.testing.assert_allclose(c.hessian_flat(point), hessian, rtol=tolerance, atol=10 * tolerance * size)
        product = c.hvp_flat(point, direction)
        np.testing.assert_allclose(product, hessian @ direction, rtol=1e-11, atol=1e-11 * size)
    return c


def program(traced: tg.TracedFunction, kind: str = "gradient") -> CProgram:
    found = traced._router.current.programs[derived(kind)]
    assert isinstance(found, CProgram)
    return found


def student(x: Any) -> Any:
    def f(mu: Any, log_sigma: Any) -> Any:
        z = (x - mu) / np.exp(log_sigma)
        return (-2.5 * np.log1p(z**2 / 4.0) - log_sigma).sum()

    return f


# Ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "n", [18, 19, 24, 25, 511, WIDTH, WIDTH + 1, BLOCK, BLOCK + 1, 2 * BLOCK + WIDTH + 7]
)
def test_any_number_of_rows(n: int) -> None:
    """The last vector, chunk and block are seldom whole; all numbers of rows share one kernel."""
    x = RNG.standard_t(4.0, n)
    traced = agree(student(x), dict(mu=0.1, log_sigma=0.2))
    assert f"rows: {n:,} in" in str(traced.plan)


def test_a_row_does_not_depend_on_where_it_stands() -> None:
    """The bits of a stored row are the same in a whole vector and in the last one."""
    x = RNG.normal(size=WIDTH + 5)
    found = []
    for data in (x, x[5:], x[3 : WIDTH + 1]):
        traced = tg.trace(lambda a, data=data: np.exp(a * data) + np.sin(data), dict(a=0.3), backend="c")
        found.append(traced(dict(a=0.7)))
    np.testing.assert_array_equal(found[0][5:], found[1])
    np.testing.assert_array_equal(found[0][3 : WIDTH + 1], found[2])


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_give_the_same_bits(threads: int) -> None:
    x, group = RNG.standard_t(4.0, 5 * BLOCK + 3), RNG.integers(0, 40, 5 * BLOCK + 3)

    def f(mu: Any, effects: Any) -> Any:
        z = x - mu - effects[group]
        return -np.log1p(z * z).sum()

    theta = dict(mu=0.1, effects=0.1 * RNG.normal(size=40))
    one, many = (tg.trace(f, theta, backend="c", threads=count) for count in (1, threads))
    point = one.ravel(theta)
    assert one.value_and_grad_flat(point)[0] == many.value_and_grad_flat(point)[0]
    np.testing.assert_array_equal(one.value_and_grad_flat(point)[1], many.value_and_grad_flat(point)[1])
    direction = np.linspace(-1.0, 1.0, point.size)
    np.testing.assert_array_equal(one.hvp_flat(point, direction), many.hvp_flat(point, direction))


# What a loop reads and writes -------------------------------------------------------------------------------


def test_a_design_matrix_and_its_transpose_share_a_pass() -> None:
    X = RNG.normal(size=(700, 10))
    y = (RNG.random(700) < 0.4).astype(float)

    def f(beta: Any) -> Any:
        eta = X @ beta
        return (y * eta - np.logaddexp(0.0, eta)).sum()

    traced = agree(f, dict(beta=np.full(10, 0.1)), 1e-12)
    assert len(traced.plan.stages) == 1
    assert [part.entries for part in program(traced).printed.early] == [()]


def test_a_hessian_adds_up_each_pair_of_columns_once() -> None:
    """Its tape has columns as constants of their own, and each pair of them in both orders."""
    matrix = RNG.normal(size=(BLOCK + 100, 3))

    def f(beta: Any) -> Any:
        return -np.sum(np.logaddexp(0.0, matrix @ beta))

    theta = dict(beta=np.array([0.3, -0.2, 0.1]))
    traced = agree(f, theta)
    rows = program(traced, "hessian").source
    rows = rows[rows.index("/* rows0") :]
    assert "tg_rows(" not in rows
    sums = [line for line in rows.splitlines() if "+= (" in line]
    assert len(sums) == 6


@pytest.mark.parametrize("order", ["C", "F"])
def test_columns_of_other_layouts_and_types(order: str) -> None:
    X = np.array(RNG.normal(size=(100, 3)), order=order)
    chosen, count = RNG.random(100) < 0.5, RNG.integers(0, 5, 100)

    def f(b: Any, s: Any) -> Any:
        eta = (X @ b)[::-1] * X[:, 1] + X.T[2]
        return np.where(chosen, np.exp(eta * s), count * eta).sum() + special.logsumexp(X * s, axis=1).sum()

    agree(f, dict(b=np.array([0.1, 0.2, -0.1]), s=0.5), 1e-12)


@pytest.mark.parametrize("groups", [3, 40, 500])
def test_gathers_and_grouped_adds(groups: int) -> None:
    x, group = RNG.normal(size=400), RNG.integers(-groups, groups, 400)

    def f(effects: Any, slopes: Any, scale: Any) -> Any:
        z = (x - effects[group] - x * slopes[group, 0]) * np.exp(scale)
        return -np.log1p(z * z).sum() - (effects**2).sum() + 400 * scale

    theta = dict(effects=0.1 * RNG.normal(size=groups), slopes=0.1 * RNG.normal(size=(groups, 2)), scale=0.1)
    c, reference = both(f, theta)
    point = c.ravel(theta)
    assert c.value_and_grad_flat(point)[0] == pytest.approx(
        reference.value_and_grad_flat(point)[0], rel=1e-13
    )
    slope = reference.value_and_grad_flat(point)[1]
    np.testing.assert_allclose(c.value_and_grad_flat(point)[1], slope, rtol=1e-12, atol=1e-13)


def test_what_has_no_form_is_computed_by_numpy_between_two_functions() -> None:
    x = np.abs(RNG.normal(size=200)) + 0.5

    def f(nu: Any, s: Any) -> Any:
        return (special.kve(nu, x * s) * np.exp(-x * s)).sum() + np.sort(x * s)[10]

    traced = agree(f, dict(nu=1.3, s=0.7), 1e-11)
    parts = program(traced).printed.early
    assert any(part.entries for part in parts)
    assert any(part.name for part in parts)


@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
def test_values_along_the_rows_are_outputs() -> None:
    x = RNG.normal(size=(300, 2))
    c, reference = both(lambda a: np.stack([np.exp(a * x[:, 0]), x[:, 1] * a], axis=1), dict(a=0.3))
    np.testing.assert_allclose(c(dict(a=0.4)), reference(dict(a=0.4)), rtol=1e-14)
    truths, expected = both(lambda a: np.greater(a * x[:, 0], 0.1), dict(a=0.3))
    np.testing.assert_array_equal(truths(dict(a=0.7)), expected(dict(a=0.7)))


# Decisions --------------------------------------------------------------------------------------------------


def test_decisions_have_the_bits_of_numpy() -> None:
    """A comparison at a tie falls as in a plain call: what decides is computed by NumPy, or rounds alike."""
    x = RNG.normal(size=300)

    def f(a: Any) -> Any:
        return np.where(np.exp(a * x) > np.exp(0.3 * x), a * x, 2.0 * a).sum()

    traced = agree(f, dict(a=0.3))
    kernels = [entry.op.name for part in program(traced).printed.early for entry in part.entries]
    assert kernels == ["exp"]
    assert traced(dict(a=0.3)) == pytest.approx(f(0.3), rel=1e-14)


@pytest.mark.filterwarnings("ignore::tapegrad.BranchWarning")
def test_guards_lead_to_other_paths() -> None:
    x = RNG.normal(size=100)

    def f(a: Any) -> Any:
        return (x * a).sum() if a > 0.0 else (np.exp(x * a)).sum()

    traced = tg.trace(f, dict(a=0.5), backend="c")
    for a in (0.5, -0.5, 0.2, -0.1):
        assert traced(dict(a=a)) == pytest.approx(f(np.float64(a)), rel=1e-13)
    assert traced.retraces == 1


# The text ---------------------------------------------------------------------------------------------------


def test_models_that_differ_in_data_only_share_their_code() -> None:
    sources = []
    for n, seed in ((100, 0), (5_000, 1), (40_000, 2)):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(n, 3)), rng.normal(size=n)
        traced = tg.trace(
            lambda b, s, X=X, y=y: (-np.log1p(((y - X @ b) * np.exp(s)) ** 2) + s).sum(),
            dict(b=np.zeros(3), s=0.1 * seed),
            backend="c",
        )
        sources.append(traced.source())
    assert sources[0] == sources[1] == sources[2]


@pytest.mark.parametrize(
    "value", [True, np.array(False), np.float64(-0.5), np.array(2.0), np.array(3), np.inf]
)
def test_constants_of_any_kind_are_literals(value: Any) -> None:
    text = literal(value)
    assert text is not None
    assert float(text.strip("()").replace("INFINITY", "inf")) == float(value)
    assert [literal(x) for x in (0.1, np.array(9.0), -0.0, np.nan, -np.inf, 100)] == [None] * 6


def test_the_text_shows_the_lines_of_the_user() -> None:
    traced = tg.trace(student(RNG.normal(size=100)), dict(mu=0.1, log_sigma=0.2), backend="c")
    assert "z = (x - mu) / np.exp(log_sigma) */" in traced.source()
    assert "#pragma omp simd reduction(+" in traced.source()
    assert "in 1 block of 8,192" in str(traced.plan)
